// yardstick.cuh - chapter 4: the two plainest kernels that there are, for host code.
#pragma once

#include <kvlab/cuda/launch.hpp>

namespace kvlab {

// sums[t] = the sum of what thread t of the grid reads; `fours` times 16 bytes are read. Any
// grid and block of one dimension.
KVLAB_KERNEL(read_all, (const float* from, float* sums, long long fours));

// to = from, `fours` times 16 bytes. Any grid and block of one dimension.
KVLAB_KERNEL(copy_all, (const float* from, float* to, long long fours));

}  // namespace kvlab
