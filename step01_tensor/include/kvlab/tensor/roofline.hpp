// roofline.hpp - chapter 1: the two speeds that bound every kernel on this machine.
//
//   GFLOP/s
//      |          ________ peak: all multipliers busy
//      |         /
//      |        /          left of the ridge a kernel waits for memory,
//      |       /           right of it for the multipliers
//      +------^----------- FLOP per byte read
//           ridge          (Williams, Waterman and Patterson 2009)
#pragma once

#include <string>
#include <vector>

#include <kvlab/tensor/peak_kernels.hpp>
#include <kvlab/tensor/simd_level.hpp>
#include <kvlab/tensor/thread_pool.hpp>

namespace kvlab {

// The most GFLOP/s (an fma counts as two) that `pool` reaches: the best of `samples` short
// runs, because whatever else the machine does can only make a run slower. Every thread is
// timed by its own processor time, and the threads' rates are added.
double peak_gflops(SimdLevel level, ThreadPool& pool, Index samples);

// The most GB/s (10^9 bytes) at which the threads of `pool` re-read `bytes` of memory each.
double read_bandwidth(SimdLevel level, ThreadPool& pool, Index bytes, Index samples);

// A level of the memory and how much of it one thread should read to measure it.
struct MemoryLevel {
    std::string name;  // L1, L2, L3, DRAM
    Index bytes;
};

// The levels that the system reports, with half of each cache's size (for L3 shared among
// `threads`), and for DRAM four times the last cache (64 MB to 512 MB in all).
std::vector<MemoryLevel> memory_levels(Index threads);

}  // namespace kvlab
