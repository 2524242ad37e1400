// From logits to a token: the penalty and min-p by hand, and dice that are thrown once a token.
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <limits>
#include <map>

#include <kvlab/serving/request.hpp>

using namespace kvlab;

namespace {

Token choose(const ChoiceOptions& options,
             const std::vector<float>& logits,
             const std::vector<Token>& tokens = {}) {
    return TokenChooser(options).choose(logits, tokens);
}

ChoiceOptions warm(float temperature, std::uint64_t seed = 1) {
    ChoiceOptions options;
    options.sampling.temperature = temperature;
    options.sampling.seed = seed;
    return options;
}

// How often each token comes in 1000 draws of different seeds.
std::map<Token, int> draws(ChoiceOptions options, const std::vector<float>& logits) {
    std::map<Token, int> count;
    for (std::uint64_t seed = 0; seed < 1000; ++seed) {
        options.sampling.seed = seed;
        ++count[choose(options, logits)];
    }
    return count;
}

}  // namespace

TEST_SUITE("step07") {
    TEST_CASE("choice: without options of its own it is the sampler of chapter 1") {
        Rng random(3);
        std::vector<float> logits(50);
        for (const float temperature : {0.0f, 0.7f, 2.0f}) {
            ChoiceOptions options = warm(temperature, 11);
            options.sampling.top_k = 20;
            options.sampling.top_p = 0.9f;
            TokenChooser chooser(options);
            Sampler sampler(options.sampling);
            for (int i = 0; i < 100; ++i) {
                for (float& logit : logits) logit = 3 * random.normal();
                CHECK(chooser.choose(logits, {}) == static_cast<Token>(sampler.sample(logits)));
            }
        }
    }

    TEST_CASE("choice: the penalty divides positive logits and multiplies negative ones") {
        ChoiceOptions options;
        options.repetition_penalty = 2;
        // 6 / 2 = 3 is below 4; -1 * 2 = -2 is below -1.5.
        CHECK(choose(options, {6, 4}, {}) == 0);
        CHECK(choose(options, {6, 4}, {0}) == 1);
        CHECK(choose(options, {-1, -1.5f}, {}) == 0);
        CHECK(choose(options, {-1, -1.5f}, {0}) == 1);
        // Often seen is no worse than seen: 6 / 2 stays above 2.
        CHECK(choose(options, {6, 2}, {0, 0, 0, 0}) == 0);
        // Below 1 it draws back to what was said.
        options.repetition_penalty = 0.5f;
        CHECK(choose(options, {3, 4}, {0}) == 0);
    }

    TEST_CASE("choice: the caller's logits stay as they are") {
        ChoiceOptions options = warm(1);
        options.repetition_penalty = 2;
        options.min_p = 0.5f;
        const std::vector<float> before = {6, 4, 2};
        std::vector<float> logits = before;
        TokenChooser(options).choose(logits, std::vector<Token>{0, 1, 2});
        CHECK(logits == before);
    }

    TEST_CASE("choice: min-p drops what is below this share of the most likely token") {
        // Shares of the first: 1, 0.5, 0.25, 0.125.
        const std::vector<float> logits = {std::log(8.0f), std::log(4.0f), std::log(2.0f), 0};
        ChoiceOptions options = warm(1);
        CHECK(draws(options, logits).size() == 4);
        options.min_p = 0.2f;
        const std::map<Token, int> three = draws(options, logits);
        CHECK(three.size() == 3);
        CHECK(!three.contains(3));
        options.min_p = 0.4f;
        CHECK(draws(options, logits).size() == 2);
        options.min_p = 1;
        CHECK(draws(options, logits).size() == 1);
    }

    TEST_CASE("choice: min-p looks at the shares that the temperature makes") {
        // At temperature 2 the share of the second is the root of 1/4, at 1/2 it is 1/16.
        const std::vector<float> logits = {std::log(4.0f), 0};
        for (const float temperature : {2.0f, 1.0f, 0.5f}) {
            ChoiceOptions options = warm(temperature);
            options.min_p = 0.3f;
            CHECK(draws(options, logits).size() == (temperature == 2 ? 2 : 1));
        }
    }

    TEST_CASE("choice: min-p keeps the order of the tokens, and so the place that is drawn") {
        ChoiceOptions options = warm(1, 5);
        options.min_p = 0.01f;
        const std::vector<float> all = {1, 2, 3}, holes = {1, -90, 2, -90, -90, 3};
        const std::array<Token, 3> places = {0, 2, 5};
        for (std::uint64_t seed = 0; seed < 50; ++seed) {
            options.sampling.seed = seed;
            CHECK(choose(options, holes) == places[usize(choose(options, all))]);
        }
    }

    TEST_CASE("choice: one throw of the dice for each token, whatever the options") {
        const std::vector<float> logits = {1, 1, 1, 1, 1, 1, 1, 1};
        ChoiceOptions plain = warm(1, 9), other = plain;
        other.min_p = 0.5f;
        other.repetition_penalty = 1.5f;
        TokenChooser a(plain), b(other);
        std::vector<Token> none;
        for (int i = 0; i < 40; ++i) CHECK(a.choose(logits, none) == b.choose(logits, none));
    }

    TEST_CASE("choice: options that cannot be are refused") {
        constexpr float kInfinity = std::numeric_limits<float>::infinity();
        for (const float wrong : {-0.1f, 1.1f, kInfinity, std::nanf("")}) {
            ChoiceOptions options;
            options.min_p = wrong;
            CHECK_THROWS_AS(TokenChooser{options}, Error);
        }
        for (const float wrong : {0.0f, -1.0f, kInfinity, std::nanf("")}) {
            ChoiceOptions options;
            options.repetition_penalty = wrong;
            CHECK_THROWS_AS(TokenChooser{options}, Error);
        }
        CHECK_THROWS_AS(TokenChooser{warm(-1)}, Error);
        ChoiceOptions options;
        options.repetition_penalty = 2;
        CHECK_THROWS_WITH(choose(options, {1, 2}, {2}),
                          "choice: token 2 is outside of the vocabulary of 2");
        CHECK_THROWS_WITH(choose(options, {-3e38f, 2}, {0}),
                          "choice: a repetition penalty of 2 makes a logit infinite");
    }

    TEST_CASE("choice: how a request ended has a name") {
        CHECK(std::string(outcome_name(Outcome::waiting)) == "waiting");
        CHECK(std::string(outcome_name(Outcome::end_token)) == "end token");
        CHECK(std::string(outcome_name(Outcome::cancelled)) == "cancelled");
    }
}
