// transpose.cuh - chapter 4: the kernels of the executor's demonstration, for host code.
#pragma once

#include <kvlab/cuda/launch.hpp>

namespace kvlab {

// out [columns, rows] = in [rows, columns] transposed. Blocks of 32 x 8 threads, one for each
// tile of 32 x 32 numbers.
KVLAB_KERNEL(transpose, (const float* in, float* out, int rows, int columns));
KVLAB_KERNEL(transpose_with_conflicts, (const float* in, float* out, int rows, int columns));
KVLAB_KERNEL(transpose_without_barrier, (const float* in, float* out, int rows, int columns));

}  // namespace kvlab
