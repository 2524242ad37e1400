// policy_kernels.hpp - chapter 5: what evicting needs beyond chapter 2's kernels,
// per SIMD level.
#pragma once

#include <cstddef>

#include <kvlab/tensor/compiler.hpp>

namespace kvlab {

using Index = std::ptrdiff_t;
enum class SimdLevel;

struct PolicyKernels {
    // out[i][s] = keys[i][s] * factors[s], of a tile of keys [head_dim][64].
    void (*scale_slots)(const float* keys, const float* factors, Index head_dim, float* out);

    // out[s][i] = values[s][i] * factors[s], of a tile of values [64][width], width a multiple
    // of 16.
    void (*scale_rows)(const float* values, const float* factors, Index width, float* out);
};

// The table of a level. Throws Error when the level is not built in or not supported here.
const PolicyKernels& policy_kernels(SimdLevel level);

}  // namespace kvlab
