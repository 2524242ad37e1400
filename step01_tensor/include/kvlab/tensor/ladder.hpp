// ladder.hpp - chapter 1: the slow rungs on the way from the plain product to the packed one.
#pragma once

#include <cstddef>

#include <kvlab/tensor/compiler.hpp>

namespace kvlab {

using Index = std::ptrdiff_t;

// Each computes y[T, N] = x[T, K] * w transposed, one thread, contiguous, with the contract's
// bits; one table per SIMD level, so that the compiler may use the level's instructions. The
// fast rungs are TensorKernels and matmul().
struct LadderKernels {
    // Output by output, w [N, K]: a chain that waits for each fma before it starts the next.
    void (*plain)(Index T, Index K, Index N, const float* x, const float* w, float* y);

    // Input by input, wt [K, N]: the next fma belongs to another output and waits for nobody,
    // and N outputs in a row are what a compiler turns into SIMD. But every partial sum goes
    // back to memory each time. `sums` is room for N floats.
    void (*reordered)(
        Index T, Index K, Index N, const float* x, const float* wt, float* sums, float* y);
};

enum class SimdLevel;

// Throws Error when the level is not built in or not supported here.
const LadderKernels& ladder_kernels(SimdLevel level);

}  // namespace kvlab
