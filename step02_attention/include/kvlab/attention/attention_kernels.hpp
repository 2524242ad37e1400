// attention_kernels.hpp - chapter 2: what attention needs beyond chapter 1's kernels,
// per SIMD level.
#pragma once

#include <cstddef>

#include <kvlab/tensor/compiler.hpp>

namespace kvlab {

using Index = std::ptrdiff_t;
enum class SimdLevel;

inline constexpr Index kTile = 64;  // slots in a tile, counted from slot 0 (contract, rule 3)

// From slot `slot` of a tile on, slots have the angles of positions `position`, + 1, + 2 ...
struct AngleRun {
    Index slot, position;
};

struct AttentionKernels {
    // One row of one tile: turns scores[0..visible) into weights p * 2^(n - M) in place, where
    // M, which it returns, is the largest n of them. Scores are 64 floats; those at and beyond
    // `visible`, which is at least 1, do not matter and become anything.
    float (*softmax_tile)(float* scores, Index visible);

    // The weighted sum of values and the sum of weights of up to 6 rows: over `slots` slots j,
    // in order, chains of fma(weights[r * 64 + j], values[j * width + i], sums[r * stride + i])
    // for i < width, a multiple of 16, and of totals[r] + weights[r * 64 + j]. They start from
    // +0 or, with `resume`, go on from what is there.
    void (*weigh)(Index rows,
                  Index slots,
                  const float* weights,
                  const float* values,
                  Index width,
                  float* sums,
                  Index stride,
                  float* totals,
                  bool resume);

    // y[i] = y[i] * factor, n a multiple of 16.
    void (*scale)(float factor, Index n, float* y);

    // RoPE on one head, pairs (2i, 2i + 1), then times `factor`; in place. cos and sin are one
    // table row, [rope_dim / 2]. Elements at and beyond rope_dim are only multiplied.
    void (*rotate)(float* head,
                   const float* cos,
                   const float* sin,
                   Index rope_dim,
                   Index head_dim,
                   float factor);

    // RoPE on a tile of keys [head_dim][64]. The slots' angles come in runs, the first of which
    // begins at slot 0; cos and sin are [rope_dim / 2] rows of positions, `stride` floats
    // apart, with 64 floats behind the last position. Rows of keys at and beyond
    // rope_dim are copied.
    void (*rotate_tile)(const float* keys,
                        const float* cos,
                        const float* sin,
                        Index stride,
                        const AngleRun* runs,
                        Index count,
                        Index rope_dim,
                        Index head_dim,
                        float* out);
};

// The table of a level. Throws Error when the level is not built in or not supported here.
const AttentionKernels& attention_kernels(SimdLevel level);

}  // namespace kvlab
