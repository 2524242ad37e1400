// ladder.simd.cpp - chapter 1: two slow products. Compiled once per SIMD level.
#include <kvlab/tensor/ladder.hpp>
#include <kvlab/tensor/simd.hpp>

namespace kvlab::KVLAB_SIMD {

inline constexpr Index kBlock = 64;  // of a sum (contract, rule 2)

// ANCHOR: rung_plain
static void plain(Index T, Index K, Index N, const float* x, const float* w, float* y) {
    for (Index t = 0; t < T; ++t)
        for (Index n = 0; n < N; ++n)
            for (Index begin = 0; begin < K; begin += kBlock) {
                const Index end = begin + kBlock < K ? begin + kBlock : K;
                float acc = 0.0f;
                for (Index k = begin; k < end; ++k) acc = fma1(x[t * K + k], w[n * K + k], acc);
                y[t * N + n] = begin == 0 ? acc : y[t * N + n] + acc;
            }
}

// ANCHOR_END: rung_plain

// ANCHOR: rung_reordered
static void reordered(
    Index T, Index K, Index N, const float* x, const float* wt, float* sums, float* y) {
    for (Index t = 0; t < T; ++t)
        for (Index begin = 0; begin < K; begin += kBlock) {
            const Index end = begin + kBlock < K ? begin + kBlock : K;
            for (Index n = 0; n < N; ++n) sums[n] = 0.0f;
            for (Index k = begin; k < end; ++k)
                for (Index n = 0; n < N; ++n)
                    sums[n] = fma1(x[t * K + k], wt[k * N + n], sums[n]);
            for (Index n = 0; n < N; ++n)
                y[t * N + n] = begin == 0 ? sums[n] : y[t * N + n] + sums[n];
        }
}

// ANCHOR_END: rung_reordered

extern const LadderKernels kLadderKernels;
const LadderKernels kLadderKernels = {plain, reordered};

}  // namespace kvlab::KVLAB_SIMD
