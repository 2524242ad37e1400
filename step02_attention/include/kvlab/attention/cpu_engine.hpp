// cpu_engine.hpp - chapter 2: the Engine that computes with chapter 1's kernels.
#pragma once

#include <kvlab/attention/engine.hpp>
#include <kvlab/tensor/simd_level.hpp>

namespace kvlab {

struct CpuOptions {
    Index threads = 1;
    SimdLevel level = default_simd_level();
};

// Throws Error for a level that this processor lacks, or a bad thread count.
std::unique_ptr<Engine> make_cpu_engine(const CpuOptions& options = {});

}  // namespace kvlab
