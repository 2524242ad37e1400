// weights.cuh - chapter 4: one thread's view of a weight matrix: eight inputs of one output at
// a time, in registers, whatever the format. The layouts are those of
// chapter 1's packed_matrix.hpp.
//
//   rows     w[n][k], floats                    neighbours in n lie a whole row apart
//   panels   [n / 64][k][n % 64], any format    neighbours in n lie side by side: the 32 lanes
//                                               of a warp read 32 neighbours
#pragma once

#include "contract.cuh"

namespace kvlab::KVLAB_KERNELS {

constexpr int kEight = 8;            // inputs at a time: one word of 4-bit codes
constexpr int kScales = kPanel * 2;  // bytes of one half per column
constexpr int kGroup = 32;           // inputs of a block of the quantised formats

// Where a panel begins. Output n is in panel n / 64.
__device__ __forceinline__ const unsigned char* panel_of(const Weights& w, int panel) {
    return w.panels + panel * w.panel_bytes;
}

__device__ __forceinline__ unsigned half_at(const unsigned char* bytes, int i) {
    return reinterpret_cast<const unsigned short*>(bytes)[i];
}

// The weights of inputs k ... k + 7 and column c of a panel; those behind `depth` are 0. k is a
// multiple of 8, so all of them share one scale (rule 6).
// ANCHOR: weights
__device__ __forceinline__ void load_eight(
    TensorType type, const unsigned char* panel, int depth, int k, int c, float (&w)[kEight]) {
    if (type == TensorType::f32 || type == TensorType::f16 || type == TensorType::bf16) {
#pragma unroll
        for (int i = 0; i < kEight; ++i) {
            const int at = (k + i) * kPanel + c;
            w[i] = k + i >= depth            ? 0.0f
                   : type == TensorType::f32 ? reinterpret_cast<const float*>(panel)[at]
                   : type == TensorType::f16 ? f16_to_f32(half_at(panel, at))
                                             : bf16_to_f32(half_at(panel, at));
        }
        return;
    }
    const int scales = type == TensorType::q4_1 ? 2 * kScales : kScales;
    const int codes = type == TensorType::q8_0 ? kGroup * kPanel : kGroup * kPanel / 2;
    const unsigned char* group = panel + static_cast<long long>(k / kGroup) * (scales + codes);
    const float d = f16_to_f32(half_at(group, c));
    const int in = k % kGroup;
    if (type == TensorType::q8_0) {
#pragma unroll
        for (int i = 0; i < kEight; ++i)
            w[i] = d * static_cast<float>(
                           static_cast<signed char>(group[scales + (in + i) * kPanel + c]));
        return;
    }
    const unsigned eight =
        reinterpret_cast<const unsigned*>(group + scales)[in / kEight * kPanel + c];
    const float m = type == TensorType::q4_1 ? f16_to_f32(half_at(group + kScales, c)) : 0.0f;
#pragma unroll
    for (int i = 0; i < kEight; ++i) {
        const float code = static_cast<float>(eight >> (4 * i) & 15u);
        w[i] = type == TensorType::q4_1 ? fmaf(d, code, m) : d * (code - 8.0f);
    }
}

// ANCHOR_END: weights

// Inputs begin ... begin + count of all 64 columns, expanded, by all threads of a block; t is
// this thread's number of `threads`, a multiple of 64.
__device__ __forceinline__ void copy_weights(TensorType type,
                                             const unsigned char* panel,
                                             int depth,
                                             int begin,
                                             int count,
                                             int t,
                                             int threads,
                                             float (*weights)[kPanel]) {
    const int c = t % kPanel;
    for (int k = t / kPanel * kEight; k < count; k += threads / kPanel * kEight) {
        float eight[kEight];
        load_eight(type, panel, depth, begin + k, c, eight);
#pragma unroll
        for (int i = 0; i < kEight; ++i) weights[k + i][c] = eight[i];
    }
}

}  // namespace kvlab::KVLAB_KERNELS
