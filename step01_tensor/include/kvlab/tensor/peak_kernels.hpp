// peak_kernels.hpp - chapter 1: the two loops that measure a machine, one table per SIMD level.
#pragma once

#include <cstddef>

#include <kvlab/tensor/compiler.hpp>

namespace kvlab {

using Index = std::ptrdiff_t;

struct PeakKernels {
    // `steps` fused multiply-adds in each of many independent chains. Nothing is loaded, so
    // only the multipliers count. Returns a value that depends on all of them.
    float (*fma_chains)(Index steps, float start);

    // FLOP of fma_chains per step: an fma counts as two.
    Index flops_per_step;

    // Reads n floats, a multiple of 256, in order, `times` times over. Returns a value that
    // depends on all of them.
    float (*read)(const float* x, Index n, Index times);
};

enum class SimdLevel;

// Throws Error when the level is not built in or not supported here.
const PeakKernels& peak_kernels(SimdLevel level);

}  // namespace kvlab
