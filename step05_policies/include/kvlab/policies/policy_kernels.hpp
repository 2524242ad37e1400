// policy_kernels.hpp - chapter 5: what evicting needs beyond chapter 2's kernels, per SIMD
// level.
#pragma once

#include <cstddef>

#include <kvlab/tensor/compiler.hpp>

namespace kvlab {

using Index = std::ptrdiff_t;
enum class SimdLevel;

// From slot `slot` of a tile on, slots have the angles of positions `position`, + 1, + 2 ...
struct AngleRun {
    Index slot, position;
};

struct PolicyKernels {
    // RoPE on a tile of keys [head_dim][64]. The slots' angles come in runs, the first of which
    // begins at slot 0; cos and sin are [rope_dim / 2] rows of positions, `stride` floats
    // apart, with 64 floats behind the last position. Rows of keys at and beyond rope_dim are
    // copied.
    void (*rotate_tile)(const float* keys,
                        const float* cos,
                        const float* sin,
                        Index stride,
                        const AngleRun* runs,
                        Index count,
                        Index rope_dim,
                        Index head_dim,
                        float* out);

    // out[i][s] = keys[i][s] * factors[s], of a tile of keys [head_dim][64].
    void (*scale_slots)(const float* keys, const float* factors, Index head_dim, float* out);

    // out[s][i] = values[s][i] * factors[s], of a tile of values [64][width], width a multiple
    // of 16.
    void (*scale_rows)(const float* values, const float* factors, Index width, float* out);
};

// The table of a level. Throws Error when the level is not built in or not supported here.
const PolicyKernels& policy_kernels(SimdLevel level);

}  // namespace kvlab
