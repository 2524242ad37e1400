// gpus.hpp - chapter 4: three GPUs by their makers' data sheets, for estimates.
#pragma once

#include <span>
#include <string>

#include <kvlab/tensor/tensor.hpp>

namespace kvlab::app {

struct Gpu {
    const char* name;
    const char* architecture;  // of results/occupancy.txt
    Index multiprocessors;
    double clock;      // GHz, boost
    double bandwidth;  // GB/s of DRAM
    Index lanes;       // fma per clock and multiprocessor, in float32
};

// NVIDIA: A100 Tensor Core GPU Architecture (2020), table 4; H100 Tensor Core GPU Architecture
// (2022), table of the SXM5 board; RTX Blackwell GPU Architecture (2025), table of
// the RTX 5090.
inline constexpr Gpu kGpus[] = {
    {"A100", "sm_80", 108, 1.41, 1555, 64},
    {"H100", "sm_90", 132, 1.98, 3350, 128},
    {"RTX5090", "sm_120", 170, 2.41, 1792, 128},
};

// What a multiprocessor does in one clock, on all three: 128 bytes of its first-level cache,
// that is 4 sectors; 64 bytes from the second-level cache; one wavefront of shared memory.
inline constexpr double kSectorsPerClock = 4, kBytesPerClock = 64, kWavefrontsPerClock = 1;

// Throws Error, with the names there are, for another one.
const Gpu& find_gpu(const std::string& name);

// Share of a multiprocessor's warps that can be resident with such launches, by NVIDIA's
// calculator (results/occupancy.txt), or -1 if the table does not have it.
double occupancy(const std::string& kernel,
                 const char* architecture,
                 Index threads,
                 std::size_t dynamic_shared);

}  // namespace kvlab::app
