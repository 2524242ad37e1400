// Rules 5 and 7: the generator and what is drawn with it.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/numerics.hpp>
#include <kvlab/tensor/random.hpp>
#include <kvlab/tensor/sampling.hpp>

#include "random_data.hpp"

using namespace kvlab;

TEST_SUITE_BEGIN("step01");

TEST_CASE("rng: the published demo values of PCG32 for seed 42 and stream 54") {
    // pcg32-demo of the reference implementation (O'Neill 2014), first round.
    const std::uint32_t expected[] = {0xa15c02b7, 0x7b47f409, 0xba1d3330,
                                      0x83d2f293, 0xbfa4784b, 0xcbed606e};
    Rng rng(42, 54);
    for (std::uint32_t word : expected) CHECK(rng.next() == word);
}

TEST_CASE("rng: streams and seeds differ") {
    Rng a(1), b(2), c(1, 2), d(1);
    const std::uint32_t first = a.next();
    CHECK(first != b.next());
    CHECK(first != c.next());
    CHECK(first == d.next());
}

TEST_CASE("rng: uniform and below and normal have the right range and moments") {
    Rng rng(5);
    double total = 0, squares = 0;
    float low = 1, high = 0;
    for (int i = 0; i < 100000; ++i) {
        const float u = rng.uniform();
        low = std::min(low, u), high = std::max(high, u);
        total += static_cast<double>(u);
        REQUIRE(u * 0x1p24f == std::floor(u * 0x1p24f));
    }
    CHECK(low >= 0.0f);
    CHECK(low < 0.001f);
    CHECK(high < 1.0f);
    CHECK(high > 0.999f);
    CHECK(std::fabs(total / 1e5 - 0.5) < 0.005);  // 5 standard errors
    std::vector<int> seen(7);
    for (int i = 0; i < 70000; ++i) ++at(seen, rng.below(7));
    for (int n : seen) CHECK(std::abs(n - 10000) < 500);
    CHECK(rng.below(1) == 0);
    const Index large = (Index{1} << 32) - 1;
    for (int i = 0; i < 100; ++i) REQUIRE(rng.below(large) < large);
    total = 0;
    double fourth = 0;
    for (int i = 0; i < 200000; ++i) {
        const auto x = static_cast<double>(rng.normal());
        REQUIRE(std::fabs(x) <= 6.0);
        total += x, squares += x * x, fourth += x * x * x * x;
    }
    CHECK(std::fabs(total / 2e5) < 0.012);
    CHECK(std::fabs(squares / 2e5 - 1) < 0.02);
    CHECK(std::fabs(fourth / 2e5 - 2.9) < 0.15);  // twelve uniforms: 3 - 1.2 / 12
}

TEST_CASE("argmax: the lowest index among equals") {
    CHECK(argmax(std::vector<float>{1, 3, 3, 2}) == 1);
    CHECK(argmax(std::vector<float>{-0.0f, 0.0f}) == 0);
    CHECK(argmax(std::vector<float>{-5}) == 0);
    CHECK_THROWS_AS(argmax({}), Error);
}

TEST_CASE("sampling: greedy takes the argmax and no random number") {
    Sampler greedy({.temperature = 0.0f, .top_k = 3, .top_p = 0.5f, .seed = 1});
    for (int i = 0; i < 5; ++i) CHECK(greedy.sample(std::vector<float>{1, 3, 3, 2}) == 1);
}

TEST_CASE("sampling: a case by hand") {
    // At temperature 1 / ln 2 the scores are the logits: weights 1/2, 1/4, 1/4 of the total, so
    // the threshold u * total picks token 0 below 1/2, token 1 below 3/4, else token 2.
    const float temperature = 1.44269504f;
    CHECK(log2e_over(static_cast<double>(temperature)) == 1.0f);
    const std::vector<float> logits = {3, 2, 2};
    Sampler sampler({.temperature = temperature, .seed = 9});
    Rng rng(9);
    int seen[3] = {};
    for (int i = 0; i < 4000; ++i) {
        const float u = rng.uniform();
        const Index expected = u < 0.5f ? 0 : u < 0.75f ? 1 : 2;
        REQUIRE(sampler.sample(logits) == expected);
        ++seen[expected];
    }
    CHECK(std::abs(seen[0] - 2000) < 160);
}

TEST_CASE("sampling: top-k keeps the k best and the lower index of equals") {
    const std::vector<float> logits = {1, 5, 5, 5, 0};
    Sampler two({.temperature = 10.0f, .top_k = 2, .seed = 4});
    bool one = false, other = false;
    for (int i = 0; i < 200; ++i) {
        const Index t = two.sample(logits);
        REQUIRE((t == 1 || t == 2));
        one |= t == 1, other |= t == 2;
    }
    CHECK((one && other));
    Sampler best({.temperature = 10.0f, .top_k = 1, .seed = 4});
    for (int i = 0; i < 20; ++i) CHECK(best.sample(logits) == 1);
    Sampler many({.temperature = 1.0f, .top_k = 100, .seed = 4});  // more than there are: all
    for (int i = 0; i < 20; ++i) CHECK(many.sample(logits) < 5);
}

TEST_CASE("sampling: top-p keeps the smallest head with the mass") {
    const float temperature = 1.44269504f;
    const std::vector<float> logits = {2, 3, 2};  // masses 1/4, 1/2, 1/4
    const auto drawn = [&](float p) {
        Sampler sampler({.temperature = temperature, .top_p = p, .seed = 8});
        std::vector<bool> seen(3);
        for (int i = 0; i < 300; ++i) at(seen, sampler.sample(logits)) = true;
        return seen;
    };
    CHECK(drawn(0.5f) ==
          std::vector<bool>{false, true, false});  // exactly the mass: one is enough
    CHECK(drawn(0.51f) == std::vector<bool>{true, true, false});  // then the lower index
    CHECK(drawn(0.75f) == std::vector<bool>{true, true, false});
    CHECK(drawn(0.76f) == std::vector<bool>{true, true, true});
    CHECK(drawn(1e-6f) == std::vector<bool>{false, true, false});  // never none
    CHECK(drawn(1.0f) == std::vector<bool>{true, true, true});
}

TEST_CASE("sampling: the same seed gives the same tokens and another seed others") {
    const auto logits = test::normals(300, 1, 2.0f);
    const auto run = [&](std::uint64_t seed, float p) {
        Sampler sampler({.temperature = 1.0f, .top_p = p, .seed = seed});
        std::vector<Index> tokens;
        for (int i = 0; i < 50; ++i) tokens.push_back(sampler.sample(logits));
        return tokens;
    };
    CHECK(run(1, 1.0f) == run(1, 1.0f));
    CHECK(run(1, 1.0f) != run(2, 1.0f));
    CHECK(run(1, 0.9f) == run(1, 0.9f));
}

TEST_CASE("sampling: frequencies follow the softmax") {
    const auto logits = test::normals(20, 2, 1.5f);
    std::vector<double> p(20);
    double total = 0;
    for (std::size_t i = 0; i < 20; ++i)
        total += p[i] = std::exp(static_cast<double>(logits[i]) / 0.7);
    Sampler sampler({.temperature = 0.7f, .seed = 6});
    std::vector<int> seen(20);
    const int n = 40000;
    for (int i = 0; i < n; ++i) ++at(seen, sampler.sample(logits));
    for (std::size_t i = 0; i < 20; ++i) {
        const double q = p[i] / total;
        CHECK(std::fabs(seen[i] - n * q) < 5 * std::sqrt(n * q * (1 - q)) + 1);
    }
}

TEST_CASE("sampling: a token of weight 0 is never drawn") {
    // Many small weights whose plain chain and block sums round differently,
    // then hopeless tokens.
    std::vector<float> logits(5000);
    Rng rng(3);
    for (std::size_t i = 0; i < 5000; ++i) logits[i] = i < 4990 ? rng.normal() : -1000.0f;
    Sampler sampler({.temperature = 1.0f, .seed = 5});
    for (int i = 0; i < 3000; ++i) REQUIRE(sampler.sample(logits) < 4990);
}

TEST_CASE("sampling: doors") {
    CHECK_THROWS_AS(Sampler({.temperature = -1.0f}), Error);
    CHECK_THROWS_AS(Sampler({.temperature = std::nanf("")}), Error);
    CHECK_THROWS_AS(Sampler({.temperature = 1e-30f}), Error);  // scores would overflow
    CHECK_THROWS_AS(Sampler({.top_k = -1}), Error);
    CHECK_THROWS_AS(Sampler({.top_p = 0.0f}), Error);
    CHECK_THROWS_AS(Sampler({.top_p = 1.5f}), Error);
    Sampler sampler({.temperature = 1.0f, .top_p = 0.9f});
    CHECK_THROWS_AS(sampler.sample({}), Error);
    for (float bad : {std::nanf(""), std::numeric_limits<float>::infinity()})
        CHECK_THROWS_AS(sampler.sample(std::vector<float>{1.0f, bad, 2.0f}), Error);
    CHECK_THROWS_AS(Sampler({}).sample(std::vector<float>{1.0f, std::nanf("")}), Error);
}

TEST_SUITE_END();
