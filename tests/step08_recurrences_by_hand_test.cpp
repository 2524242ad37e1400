// Three tokens through each recurrence, two numbers wide. tests/tools/recurrences_by_hand.py
// finds the same numbers from the formulas, with exact fractions.
#include <doctest/doctest.h>

#include <vector>

#include <kvlab/architectures/chunked_sum.hpp>
#include <kvlab/architectures/state_kernels.hpp>
#include <kvlab/tensor/gates.hpp>
#include <kvlab/tensor/simd_level.hpp>

#include "random_data.hpp"

using namespace kvlab;

namespace {

using ByHandRows = std::vector<std::vector<float>>;

const ByHandRows kHandQ = {{1.0f, 0.5f}, {0.25f, -1.0f}, {2.0f, 1.0f}};
const ByHandRows kHandK = {{0.5f, 1.0f}, {1.0f, -0.5f}, {0.5f, 1.0f}};
const ByHandRows kHandV = {{1.0f, 2.0f}, {-1.0f, 0.5f}, {3.0f, 1.0f}};

// step(t, y) for three tokens, at every level that this processor has.
template <class Step>
void check_by_hand(const ByHandRows& expected, Step step) {
    for (const SimdLevel level : supported_simd_levels()) {
        CAPTURE(simd_level_name(level));
        std::vector<float> state(12, 0.0f);
        ByHandRows found;
        for (std::size_t t = 0; t < 3; ++t) {
            std::vector<float> y(2);
            step(state_kernels(level), t, state.data(), y.data());
            found.push_back(y);
        }
        CHECK(found == expected);
    }
}

}  // namespace

TEST_CASE("recurrences by hand: linear attention") {
    const ByHandRows expected = {
        {0x1p+0f, 0x1p+1f}, {-0x1.592b28p-6f, 0x1.3bf48p+0f}, {0x1.1b368cp+0f, 0x1.33bcdap+0f}};
    check_by_hand(expected, [](const StateKernels& run, std::size_t t, float* S, float* y) {
        float q[2], k[2], total = 0.0f, *z = S + 4;
        run.feature(kHandQ[t].data(), 2, q);
        run.feature(kHandK[t].data(), 2, k);
        run.add_outer(k, kHandV[t].data(), 2, 2, S);
        run.add(z, k, 2, z);
        run.ask(q, z, 2, 1, &total);
        run.ask(q, S, 2, 2, y);
        y[0] = y[0] / total;
        y[1] = y[1] / total;
    });
}

TEST_CASE("recurrences by hand: the gated delta rule") {
    const ByHandRows expected = {
        {0x1p-1f, 0x1p+0f}, {-0x1.14p+0f, -0x1.2p-2f}, {0x1.3a6664p-1f, 0x1.0d3332p+1f}};
    check_by_hand(expected, [](const StateKernels& run, std::size_t t, float* S, float* y) {
        const float beta[] = {0.5f, 1.0f, 0.25f}, fade[] = {0.5f, 0.75f, 0.9f};
        float d[2];
        run.fade(fade[t], 2, 2, S);
        run.ask(kHandK[t].data(), S, 2, 2, d);
        for (std::size_t j : {0, 1}) d[j] = beta[t] * (kHandV[t][j] - d[j]);
        run.add_outer(kHandK[t].data(), d, 2, 2, S);
        run.ask(kHandQ[t].data(), S, 2, 2, y);
    });
}

TEST_CASE("recurrences by hand: complex states that turn") {
    const ByHandRows expected = {
        {0x1.4p+1f, 0x1.666668p+0f}, {-0x1.cp+0f, 0x1.5b852p+2f}, {0x1.b8p+2f, 0x1.3af1aap+3f}};
    check_by_hand(expected, [](const StateKernels& run, std::size_t t, float* s, float* y) {
        const float a[] = {0.5f, 0.9f, 0.25f, -0.5f}, c[] = {1.0f, 0.3f, 0.5f, 2.0f};
        const float skip[] = {0.5f, 0.1f};
        run.turn(a, c, skip, kHandV[t].data(), 1, 2, s, y);
    });
}

TEST_CASE("recurrences by hand: states at the token's own pace") {
    const ByHandRows expected = {{0x1p+0f, 0x1.19999ap+1f},
                                 {-0x1.fcf5bcp-1f, -0x1.c2f1fcp-2f},
                                 {0x1.fa58a8p+2f, 0x1.082122p+2f}};
    check_by_hand(expected, [](const StateKernels& run, std::size_t t, float* s, float* y) {
        const float A[] = {-1.0f, -2.0f, -0.5f, -4.0f}, skip[] = {0.5f, 0.1f};
        const float dt[3][2] = {{0.5f, 1.0f}, {0.1f, 0.25f}, {1.0f, 2.0f}};
        run.select(A, skip, dt[t], kHandV[t].data(), kHandK[t].data(), kHandQ[t].data(), 2, 2,
                   s, y);
    });
}

TEST_CASE("recurrences by hand: a fading weighted mean") {
    const ByHandRows expected = {
        {0x1p+0f, 0x1p+1f}, {-0x1.fd5994p-4f, 0x1.d239ep+0f}, {0x1.511a5p+1f, 0x1.047abep+0f}};
    check_by_hand(expected, [](const StateKernels& run, std::size_t t, float* s, float* y) {
        const float decay[] = {0.5f, 2.0f}, bonus[] = {1.0f, -0.5f};
        if (t == 0) s[4] = s[5] = -1e30f;
        run.mean(decay, bonus, kHandQ[t].data(), kHandV[t].data(), 2, s, y);
    });
}

TEST_CASE("recurrences: kernels of gates and of a convolution are the plain functions") {
    const auto x = test::normals(75, 21), w = test::normals(4 * 75, 22);
    for (const SimdLevel level : supported_simd_levels()) {
        CAPTURE(simd_level_name(level));
        const StateKernels& run = state_kernels(level);
        for (const float scale : {1.0f, 30.0f}) {
            auto in = x;
            for (float& one : in) one = one * scale;
            const auto same = [&](auto kernel, auto plain) {
                std::vector<float> found(75), expected;
                kernel(in.data(), 75, found.data());
                for (const float one : in) expected.push_back(plain(one));
                CHECK(found == expected);
            };
            same(run.exponential, exponential);
            same(run.sigmoid, sigmoid);
            same(run.silu, silu);
            same(run.softplus, softplus);
            same(run.feature, [](float v) { return v > 0.0f ? v + 1.0f : exponential(v); });
        }
        std::vector<float> tail(3 * 15, 0.0f), y(15);
        for (Index t = 0; t < 5; ++t) {
            run.convolve(w.data(), nullptr, x.data() + t * 15, 15, tail.data(), y.data());
            for (Index i = 0; i < 15; ++i) {
                float acc = 0.0f;
                for (Index j = 0; j < 4; ++j)
                    acc = std::fma(at(w, j * 15 + i),
                                   t + j < 3 ? 0.0f : at(x, (t + j - 3) * 15 + i), acc);
                CHECK(at(y, i) == acc);
            }
        }
    }
}

TEST_CASE("recurrences: a sum of chunks is near the sum in token order and not equal to it") {
    const auto u = test::normals(512, 31), gates = test::normals(512, 32);
    std::vector<float> decay, in_order(512), chunks(512), other(512);
    for (const float gate : gates) decay.push_back(sigmoid(gate + 2.0f));
    chunked_sum(decay, u, 512, in_order);
    float state = 0.0f;
    for (std::size_t t = 0; t < 512; ++t) {
        state = std::fma(decay[t], state, u[t]);
        CHECK(in_order[t] == state);
    }
    chunked_sum(decay, u, 64, chunks);
    chunked_sum(decay, u, 32, other);
    Index differ = 0;
    float most = 0.0f;
    for (std::size_t t = 0; t < 512; ++t) {
        differ += chunks[t] != in_order[t];
        most = std::max(most, std::fabs(chunks[t] - in_order[t]));
    }
    MESSAGE("chunks of 64: ", differ, " of 512 states differ, by at most ", most);
    CHECK(differ > 50);
    CHECK(most > 0.0f);
    CHECK(most < 1e-5f);  // states are of size 1 to 10; a few roundings of 2^-24 each
    CHECK(chunks != other);
}
