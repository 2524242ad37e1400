// The golden values of chapter 1 (`step01_tensor goldens` prints the same). They pin the
// contract down: a compiler, a flag or an edit that changes one bit of it changes one of these.
#include <doctest/doctest.h>

#include <cmath>
#include <utility>
#include <vector>

#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/gates.hpp>
#include <kvlab/tensor/numerics.hpp>
#include <kvlab/tensor/random.hpp>
#include <kvlab/tensor/sampling.hpp>

#include "random_data.hpp"

using namespace kvlab;

namespace {

void check_bits(float found, float expected) {
    CAPTURE(found);
    CAPTURE(expected);
    CHECK(ulp_distance(found, expected) == 0);
}

}  // namespace

TEST_SUITE_BEGIN("step01");

TEST_CASE("golden: exp2 and silu and gelu") {
    check_bits(kvlab::exp2(0.5f), 0x1.6a09e8p+0f);
    check_bits(kvlab::exp2(-0.5f), 0x1.6a09e6p-1f);
    check_bits(kvlab::exp2(1.0f / 3.0f), 0x1.428a3p+0f);
    check_bits(kvlab::exp2(10.7f), 0x1.9fdf88p+10f);
    check_bits(kvlab::exp2(-126.4f), 0x1.8405e8p-127f);  // subnormal: nothing is flushed
    check_bits(kvlab::exp2(-126.6f), 0.0f);
    check_bits(kvlab::exp2(127.4f), 0x1.51cb5cp+127f);
    check_bits(silu(1.0f), 0x1.764d5p-1f);
    check_bits(silu(-1.0f), -0x1.136562p-2f);
    check_bits(silu(5.0f), 0x1.3ddbb8p+2f);
    check_bits(gelu(1.0f), 0x1.aeb0b8p-1f);
    check_bits(gelu(-1.0f), -0x1.453d2p-3f);
    check_bits(gelu(5.0f), 0x1.4p+2f);
}

TEST_CASE("golden: a product of 130 terms and its borders") {
    const auto a = test::normals(130, 1), b = test::normals(130, 2);
    const std::pair<Index, float> sums[] = {{63, 0x1.45eab8p+1f},   {64, 0x1.435cccp+1f},
                                            {65, 0x1.5a95bp+0f},    {128, -0x1.b1653cp+3f},
                                            {129, -0x1.bec21ep+3f}, {130, -0x1.99939ep+3f}};
    for (const auto& [n, expected] : sums) check_bits(dot(a.data(), b.data(), n), expected);
    std::vector<float> y(130);
    rms_norm(a.data(), b.data(), 1e-5f, 130, y.data());
    CHECK(hex64(checksum(y)) == "0b8059ec6cf35138");
    layer_norm(a.data(), b.data(), a.data(), 1e-5f, 130, y.data());
    CHECK(hex64(checksum(y)) == "34c0cfe7ccc2099d");
}

TEST_CASE("golden: a softmax row") {
    const std::vector<float> scores = {0.5f, 1.5f, -2.25f, 3.0f, 2.5f};
    const float expected[] = {0x1.6a09e8p-3f, 0x1.6a09e6p-2f, 0x1.ae89fap-6f, 1.0f,
                              0x1.6a09e8p-1f};
    std::vector<float> weights(5);
    check_bits(softmax_weights(scores, weights), 0x1.21c168p+1f);
    for (std::size_t i = 0; i < 5; ++i) check_bits(weights[i], expected[i]);
}

TEST_CASE("golden: random numbers and tokens") {
    CHECK(hex64(checksum(test::normals(1000, 42))) == "445851070e320585");
    const auto logits = test::normals(50, 7);
    const auto tokens = [&](float temperature, Index k, float p) {
        Sampler sampler({.temperature = temperature, .top_k = k, .top_p = p, .seed = 3});
        std::vector<Index> drawn;
        for (int i = 0; i < 8; ++i) drawn.push_back(sampler.sample(logits));
        return drawn;
    };
    CHECK(tokens(0.0f, 0, 1.0f) == std::vector<Index>{31, 31, 31, 31, 31, 31, 31, 31});
    CHECK(tokens(1.0f, 0, 1.0f) == std::vector<Index>{1, 32, 38, 31, 31, 31, 38, 1});
    CHECK(tokens(1.0f, 5, 1.0f) == std::vector<Index>{31, 38, 39, 1, 1, 38, 39, 31});
    CHECK(tokens(0.8f, 0, 0.9f) == std::vector<Index>{31, 33, 10, 39, 39, 30, 2, 31});
}

TEST_CASE("golden: exponential and sigmoid and softplus") {
    check_bits(exponential(1.0f), 0x1.5bf0a8p+1f);
    check_bits(exponential(-1.0f), 0x1.78b564p-2f);
    check_bits(exponential(-20.5f), 0x1.57a3aap-30f);
    check_bits(sigmoid(1.0f), 0x1.764d5p-1f);
    check_bits(sigmoid(-1.0f), 0x1.136562p-2f);
    check_bits(sigmoid(5.0f), 0x1.fc92c2p-1f);
    check_bits(softplus(0.0f), 0x1.62e43p-1f);
    check_bits(softplus(1.0f), 0x1.5031ecp+0f);
    check_bits(softplus(-1.0f), 0x1.40c7acp-2f);
    check_bits(softplus(20.5f), 20.5f);  // e^-20.5 is less than half of its last place
    check_bits(softplus(-20.5f), 0x1.57a3aap-30f);
}

TEST_CASE("golden: two recurrences over 130 numbers") {
    const auto a = test::normals(130, 1), b = test::normals(130, 2);
    std::vector<float> states, mixed;
    float state = 0.0f;
    for (std::size_t t = 0; t < 130; ++t) {
        state = std::fma(exponential(-softplus(b[t])), state, a[t]);
        states.push_back(state);
        float y = 0.0f;
        for (std::size_t tap = 0; tap < 4; ++tap)
            y = std::fma(b[tap], t + tap < 3 ? 0.0f : a[t + tap - 3], y);
        mixed.push_back(y);
    }
    check_bits(state, 0x1.3b56b8p+0f);
    CHECK(hex64(checksum(states)) == "f166b2f3ad1cc459");
    CHECK(hex64(checksum(mixed)) == "9255f74330bc0101");
}

TEST_SUITE_END();
