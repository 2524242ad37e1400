// policy_kernels.hpp - chapter 5: what evicting needs beyond chapter 2's kernels, per SIMD
// level.
#pragma once

#include <cstddef>

namespace kvlab {

using Index = std::ptrdiff_t;
enum class SimdLevel;

struct PolicyKernels {
    // RoPE on a tile of keys [head_dim][64], each of its 64 slots by angles of its own: cos and
    // sin are [rope_dim / 2][64]. Rows at and beyond rope_dim are copied.
    void (*rotate_tile)(const float* keys,
                        const float* cos,
                        const float* sin,
                        Index rope_dim,
                        Index head_dim,
                        float* out);
};

// The table of a level. Throws Error when the level is not built in or not supported here.
const PolicyKernels& policy_kernels(SimdLevel level);

}  // namespace kvlab
