// Rule 3: exp2 and the softmax with an integer maximum. What breaks them: rounding halves away
// from zero, a maximum over scores instead of over whole numbers, libm, a lost clamp.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/numerics.hpp>

#include "random_data.hpp"

using namespace kvlab;

TEST_SUITE_BEGIN("step01");

TEST_CASE("exp2: within 2^-23.76 of the true value on a dense sample") {
    const double bound = std::exp2(-23.76);
    double worst = 0;
    for (std::int32_t i = -(1 << 20); i <= (1 << 20); ++i) {
        const float f = static_cast<float>(i) * 0x1p-21f;  // 2^21 + 1 points of [-0.5, 0.5]
        const double truth = std::exp2(static_cast<double>(f));
        worst = std::max(worst, std::fabs(static_cast<double>(kvlab::exp2(f)) - truth) / truth);
    }
    CHECK(worst <= bound);
    CHECK(worst > bound / 4);  // it is f32 that was measured, not double
    Rng rng(1);
    for (int i = 0; i < 200000; ++i) {
        const float t = (rng.uniform() - 0.5f) * 250.0f;
        const double truth = std::exp2(static_cast<double>(t));
        REQUIRE(std::fabs(static_cast<double>(kvlab::exp2(t)) - truth) <= bound * truth);
    }
}

TEST_CASE("exp2: whole numbers give exact powers of two") {
    for (int e = -126; e <= 127; ++e)
        CHECK(kvlab::exp2(static_cast<float>(e)) == std::ldexp(1.0f, e));
    CHECK(kvlab::exp2(-0.0f) == 1.0f);
}

TEST_CASE("exp2: the ends of the clamp") {
    const float infinity = std::numeric_limits<float>::infinity();
    CHECK(ulp_distance(kvlab::exp2(-127.0f), 0.0f) == 0);
    CHECK(ulp_distance(kvlab::exp2(-126.6f), 0.0f) == 0);  // rounds to n = -127
    CHECK(kvlab::exp2(-126.5f) > 0.0f);                    // a tie: to the even -126
    CHECK(ulp_distance(kvlab::exp2(-1e30f), 0.0f) == 0);
    CHECK(ulp_distance(kvlab::exp2(std::numeric_limits<float>::lowest()), 0.0f) == 0);
    CHECK(kvlab::exp2(128.0f) == infinity);
    CHECK(kvlab::exp2(127.6f) == infinity);  // rounds to n = 128
    CHECK(kvlab::exp2(127.5f) == infinity);  // a tie: to the even 128
    CHECK(kvlab::exp2(127.4f) < infinity);
    CHECK(kvlab::exp2(1e30f) == infinity);
    CHECK(pow2(-127.0f) == 0.0f);
    CHECK(pow2(-126.0f) == 0x1p-126f);
    CHECK(pow2(-1e30f) == 0.0f);
    CHECK(pow2(128.0f) == infinity);
}

TEST_CASE("exp2: halves round to the even whole number") {
    for (float s : {0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, 85.5f, -86.5f}) {
        const Exp2Parts parts = exp2_parts(s);
        CAPTURE(s);
        CHECK(std::fmod(parts.n, 2.0f) == 0.0f);
        CHECK(std::fabs(s - parts.n) == 0.5f);
    }
    CHECK(exp2_parts(0.49999997f).n == 0.0f);
    CHECK(exp2_parts(8388607.5f).n == 8388608.0f);
    CHECK(exp2_parts(16777217.0f * 4).p == 1.0f);  // no fraction left: p = 1
}

TEST_CASE("silu and gelu: against double references and at their ends") {
    for (float x = -20.0f; x <= 20.0f; x += 0.0137f) {
        const double d = static_cast<double>(x);
        const double s = d / (1 + std::exp(-d));
        const double u = 0.7978845608 * (d + 0.044715 * d * d * d);
        const double g = 0.5 * d * (1 + std::tanh(u));
        CAPTURE(x);
        // exp2's argument x log2(e) carries a relative rounding of 2^-23, so its power one of
        // |x| 2^-22; GELU's argument grows with x^3.
        CHECK(std::fabs(static_cast<double>(silu(x)) - s) <=
              std::fabs(s) * (6e-7 + 3e-7 * std::fabs(d)) + 1e-37);
        CHECK(std::fabs(static_cast<double>(gelu(x)) - g) <= 2e-6 * std::fabs(d) + 1e-37);
    }
    CHECK(ulp_distance(silu(0.0f), 0.0f) == 0);
    CHECK(ulp_distance(silu(-0.0f), -0.0f) == 0);
    CHECK(silu(200.0f) == 200.0f);
    CHECK(ulp_distance(silu(-200.0f), -0.0f) == 0);
    CHECK(gelu(100.0f) == 100.0f);
    CHECK(ulp_distance(gelu(-100.0f), -0.0f) == 0);
    CHECK(gelu(1e30f) == 1e30f);  // the cube overflows to infinity, and its sigmoid is 1
    CHECK(ulp_distance(gelu(-1e30f), -0.0f) == 0);
}

TEST_CASE("softmax: one score has weight p and the sum is that weight") {
    for (float s : {0.0f, 0.5f, -3.25f, 1000.25f, -1e20f}) {
        float w = 0;
        const float total = softmax_weights({&s, 1}, {&w, 1});
        CHECK(ulp_distance(total, w) == 0);
        CHECK(ulp_distance(w, exp2_parts(s).p) == 0);  // n - M = 0: not 2^s
    }
}

TEST_CASE("softmax: adding an even whole number to all scores keeps every bit") {
    Rng rng(3);
    for (int round = 0; round < 200; ++round) {
        const Index n = 1 + rng.below(200);
        std::vector<float> s(usize(n)), shifted(s), w(s), w2(s);
        // Multiples of 2^-10 below 2^7: the shifted scores are exact too.
        for (float& x : s) x = static_cast<float>(rng.below(1 << 17) - (1 << 16)) * 0x1p-10f;
        const float total = softmax_weights(s, w);
        for (int shift : {2, -8, 64, 1000}) {
            for (std::size_t i = 0; i < s.size(); ++i)
                shifted[i] = s[i] + static_cast<float>(shift);
            const float total2 = softmax_weights(shifted, w2);
            REQUIRE(ulp_distance(total, total2) == 0);
            REQUIRE(compare_bits(w, w2).differ == 0);
        }
    }
}

TEST_CASE("softmax: adding an odd number keeps the bits unless a score lies on a half") {
    // 0.5 rounds to 0 and 1.5 to 2, so the same weight is written as p 2^n in two ways.
    const std::vector<float> clear = {0.25f, 3.125f, -2.75f}, half = {0.5f, 3.125f, -2.75f};
    const auto weights = [](std::vector<float> s, float shift) {
        for (float& x : s) x += shift;
        std::vector<float> w(s.size());
        softmax_weights(s, w);
        return w;
    };
    CHECK(compare_bits(weights(clear, 0), weights(clear, 1)).differ == 0);
    CHECK(compare_bits(weights(half, 0), weights(half, 1)).differ == 1);
    CHECK(compare_bits(weights(half, 0), weights(half, 1)).max_ulp <= 2);
}

TEST_CASE("softmax: the maximum is over whole numbers so ties to even decide it") {
    const std::vector<float> s = {0.5f, 1.5f};  // n = 0 and 2, f = 0.5 and -0.5
    std::vector<float> w(2);
    softmax_weights(s, w);
    CHECK(ulp_distance(w[0], exp2_parts(0.5f).p * 0.25f) == 0);
    CHECK(ulp_distance(w[1], exp2_parts(1.5f).p) == 0);
    CHECK(w[1] < 1.0f);  // the largest weight is not 1: it is 2^-0.5
}

TEST_CASE("softmax: scores far apart underflow to +0 and never to NaN") {
    const std::vector<float> s = {300.0f, 0.0f, -1e30f, 174.0f, 173.0f, 3e38f * 0.0f};
    std::vector<float> w(s.size());
    const float total = softmax_weights(s, w);
    CHECK(w[0] == 1.0f);
    CHECK(ulp_distance(w[1], 0.0f) == 0);
    CHECK(ulp_distance(w[2], 0.0f) == 0);
    CHECK(w[3] == 0x1p-126f);
    CHECK(ulp_distance(w[4], 0.0f) == 0);  // 2^-127 is defined as 0: no subnormal powers
    CHECK(total == 1.0f);
    const std::vector<float> far = {-3e38f, 3e38f};
    std::vector<float> v(2);
    CHECK(softmax_weights(far, v) == 1.0f);
    CHECK(v[0] == 0.0f);
}

TEST_CASE("softmax: close to the true softmax") {
    Rng rng(9);
    for (int round = 0; round < 50; ++round) {
        const auto s =
            test::normals(1 + rng.below(300), static_cast<std::uint64_t>(round), 5.0f);
        std::vector<float> w(s.size());
        const float total = softmax_weights(s, w);
        double truth = 0;
        for (float x : s) truth += std::exp2(static_cast<double>(x));
        for (std::size_t i = 0; i < s.size(); ++i) {
            const double p = std::exp2(static_cast<double>(s[i])) / truth;
            REQUIRE(std::fabs(static_cast<double>(w[i] / total) - p) <= 3e-6 * p);
        }
    }
    float w = 0;
    CHECK_THROWS_AS(softmax_weights({}, {}), Error);
    const std::vector<float> two = {1.0f, 2.0f};
    CHECK_THROWS_AS(softmax_weights(two, {&w, 1}), Error);
}

TEST_CASE("softmax: a running maximum gives the bits of the two passes") {
    // Online softmax over blocks of 64 with a rescaled total: what flash attention does.
    Rng rng(4);
    for (int round = 0; round < 100; ++round) {
        const auto s =
            test::normals(1 + rng.below(400), 100 + static_cast<std::uint64_t>(round), 20.0f);
        std::vector<float> w(s.size());
        const float expected = softmax_weights(s, w);
        float M = 0.0f, total = 0.0f;
        for (std::size_t begin = 0; begin < s.size(); begin += 64) {
            const std::size_t end = std::min(begin + 64, s.size());
            float m = begin == 0 ? exp2_parts(s[0]).n : M;
            for (std::size_t i = begin; i < end; ++i) m = std::max(m, exp2_parts(s[i]).n);
            float block = 0.0f;
            for (std::size_t i = begin; i < end; ++i)
                block += exp2_parts(s[i]).p * pow2(exp2_parts(s[i]).n - m);
            total = begin == 0 ? block : total * pow2(M - m) + block;
            M = m;
        }
        REQUIRE(ulp_distance(total, expected) == 0);
    }
}

TEST_SUITE_END();
