// Sampling where floats end: the largest and the smallest logits, temperatures, k and p.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <kvlab/tensor/random.hpp>
#include <kvlab/tensor/sampling.hpp>

using namespace kvlab;

namespace {

constexpr float kMostFloat = std::numeric_limits<float>::max();
constexpr float kLeastFloat = std::numeric_limits<float>::denorm_min();

const float kTemperatures[] = {
    Sampler::kLeastTemperature, 1e-5f, 1e-3f, 0.5f, 1.0f, 2.0f, 100.0f, 1e30f, kMostFloat};

std::vector<std::vector<float>> extreme_logits() {
    const float m = 1e36f;
    return {{0.5f * m, m, 0.9f * m, 0.0f},
            {-m, -0.5f * m, -0.9f * m, -kMostFloat},
            {kMostFloat, -kMostFloat},
            {-kMostFloat, kMostFloat, kMostFloat, 0.0f, std::nextafter(kMostFloat, 0.0f)},
            {-kMostFloat, -kMostFloat, -kMostFloat},
            {kLeastFloat, 0.0f, -kLeastFloat, 2 * kLeastFloat},
            {-kLeastFloat, kMostFloat, kLeastFloat},
            {1.0f, 2.0f, -3.0f, 2.5f},
            {kMostFloat},
            {-kMostFloat},
            {0.0f, -0.0f}};
}

std::vector<Index> draw(const std::vector<float>& logits,
                        const SamplingOptions& options,
                        int n) {
    Sampler sampler(options);
    std::vector<Index> tokens;
    for (int i = 0; i < n; ++i) tokens.push_back(sampler.sample(logits));
    return tokens;
}

// How many powers of two a token is less likely than the likeliest, in double; 0 for logits
// that are the same but for the rounding of a float, which is what a score is.
double below_best(const std::vector<float>& logits, Index token, float temperature) {
    const float best = *std::max_element(logits.begin(), logits.end());
    const double b = static_cast<double>(best),
                 distance = b - static_cast<double>(at(logits, token));
    if (distance <= std::fabs(b) * 0x1p-23) return 0;
    return distance * 1.4426950408889634 / static_cast<double>(temperature);
}

}  // namespace

TEST_SUITE_BEGIN("step01");

TEST_CASE("sampling edges: products beyond a float do not turn the order round") {
    const float m = 1e36f;
    const std::vector<float> logits = {0.5f * m, m, 0.9f * m, 0.0f};
    for (const float t : {Sampler::kLeastTemperature, 1e-5f, 1e-3f})
        for (const Index k : {0, 2, 4, 5})
            for (const float p : {1.0f, 0.9f})
                CHECK(draw(logits, {.temperature = t, .top_k = k, .top_p = p, .seed = 1}, 6) ==
                      std::vector<Index>(6, 1));
}

TEST_CASE("sampling edges: equals stay equally likely however large they are") {
    // As contract_by_the_book.py draws them.
    CHECK(draw({kMostFloat, kMostFloat, -kMostFloat, kMostFloat},
               {.temperature = 1.0f, .seed = 3},
               12) == std::vector<Index>{0, 1, 3, 1, 1, 1, 3, 0, 1, 3, 1, 3});
    CHECK(
        draw({kMostFloat, kMostFloat, -kMostFloat, kMostFloat},
             {.temperature = Sampler::kLeastTemperature, .top_k = 3, .top_p = 0.5f, .seed = 3},
             12) == std::vector<Index>{0, 1, 1, 1, 1, 1, 1, 0, 1, 1, 0, 1});
    CHECK(draw({-kMostFloat, -kMostFloat, -kMostFloat}, {.temperature = 0.5f, .seed = 3}, 8) ==
          std::vector<Index>{0, 1, 2, 1, 1, 1, 2, 0});
}

TEST_CASE("sampling edges: what is drawn is never a token that cannot be") {
    for (const std::vector<float>& logits : extreme_logits()) {
        const auto V = std::ssize(logits);
        for (const float t : kTemperatures)
            for (const Index k :
                 {Index{0}, Index{1}, Index{2}, V, V + 1, std::numeric_limits<Index>::max()})
                for (const float p : {kLeastFloat, 0.5f, std::nextafter(1.0f, 0.0f), 1.0f}) {
                    CAPTURE(logits[0]);
                    CAPTURE(V);
                    CAPTURE(t);
                    CAPTURE(k);
                    CAPTURE(p);
                    for (const Index token :
                         draw(logits, {.temperature = t, .top_k = k, .top_p = p, .seed = 9},
                              20)) {
                        REQUIRE((token >= 0 && token < V));
                        REQUIRE(below_best(logits, token, t) < 128);
                        if (k == 1 || p == kLeastFloat)
                            REQUIRE(below_best(logits, token, t) == 0);
                    }
                }
    }
}

TEST_CASE("sampling edges: a high temperature makes all tokens alike") {
    for (const float t : {1e30f, kMostFloat}) {
        std::vector<int> seen(4);
        for (const Index token :
             draw({1.0f, 2.0f, -3.0f, 2.5f}, {.temperature = t, .seed = 2}, 400))
            ++at(seen, token);
        CHECK(*std::min_element(seen.begin(), seen.end()) > 60);
    }
}

TEST_CASE("sampling edges: a choice among none or too many is refused") {
    Rng rng(1);
    for (const Index bad :
         {Index{0}, Index{-1}, Index{1} << 32, std::numeric_limits<Index>::max(),
          std::numeric_limits<Index>::min()})
        CHECK_THROWS_AS(rng.below(bad), Error);
    CHECK(rng.below(1) == 0);
    CHECK(rng.below((Index{1} << 32) - 1) >= 0);
}

TEST_CASE("sampling edges: temperatures that are refused") {
    const float below = std::nextafter(Sampler::kLeastTemperature, 0.0f);
    CHECK_NOTHROW(Sampler({.temperature = Sampler::kLeastTemperature}));
    for (const float bad :
         {below, kLeastFloat, -kLeastFloat, -1.0f, std::numeric_limits<float>::infinity(),
          -std::numeric_limits<float>::infinity(), std::nanf("")})
        CHECK_THROWS_AS(Sampler({.temperature = bad}), Error);
    CHECK_THROWS_WITH_AS(
        Sampler({.temperature = 1e-9f}),
        "sampling: temperature must be 0, or finite and at least 2^-20, found 1e-09", Error);
    for (const float bad : {0.0f, -kLeastFloat, std::nextafter(1.0f, 2.0f), std::nanf("")})
        CHECK_THROWS_AS(Sampler({.top_p = bad}), Error);
    CHECK_THROWS_AS(Sampler({.top_k = std::numeric_limits<Index>::min()}), Error);
}

TEST_SUITE_END();
