// by_hand.cuh - chapter 4: the small kernels of the chapter's worked examples, for host code.
#pragma once

#include <kvlab/cuda/launch.hpp>

namespace kvlab {

// out[i] = 2 in[i], a thread for each number.
KVLAB_KERNEL(twice, (const float* in, float* out, int count));
KVLAB_KERNEL(twice_without_guard, (const float* in, float* out, int count));
// One warp: lane i reads in[first + apart * i].
KVLAB_KERNEL(read_apart, (const float* in, float* out, int first, int apart));
// One warp and a tile of 32 rows of `width` floats in shared memory: the lanes read a column.
KVLAB_KERNEL(read_column, (float* out, int width));

}  // namespace kvlab
