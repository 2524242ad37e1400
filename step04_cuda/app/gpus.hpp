// gpus.hpp - chapter 4: three GPUs by their makers' data sheets, for estimates, and what nvcc's
// code is known to be.
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
    // Clocks from a load to its number, out of the first-level cache and out of the DRAM.
    double cached, latency;
};

// NVIDIA: A100 Tensor Core GPU Architecture (2020), table 4; H100 Tensor Core GPU Architecture
// (2022), table of the SXM5 board; RTX Blackwell GPU Architecture (2025), table of
// the RTX 5090. Latencies: Luo et al. 2024, Benchmarking and Dissecting the Nvidia Hopper GPU
// Architecture; that of the RTX 4090 stands for the RTX 5090's.
inline constexpr Gpu kGpus[] = {
    {"A100", "sm_80", 108, 1.41, 1555, 64, 38, 466},
    {"H100", "sm_90", 132, 1.98, 3350, 128, 41, 479},
    {"RTX5090", "sm_120", 170, 2.41, 1792, 128, 43, 542},
};

// What a multiprocessor does in one clock, on all three: 128 bytes of its first-level cache,
// that is 4 sectors; 64 bytes from the second-level cache; one wavefront of shared memory.
inline constexpr double kSectorsPerClock = 4, kBytesPerClock = 64, kWavefrontsPerClock = 1;

// Microseconds from one launch in a stream to the next, beyond what the kernels take
// themselves: 3.8 for a kernel of 2.9 (Gray 2019, Getting Started with CUDA Graphs; a V100).
inline constexpr double kLaunchGap = 0.9;

inline constexpr Index kWarp = 32;  // threads

// Throws Error, with the names there are, for another one.
const Gpu& find_gpu(const std::string& name);

// What of such a launch can be resident on a multiprocessor at once, as NVIDIA's calculator
// says (results/occupancy.txt has its table).
struct Occupancy {
    Index blocks;  // if the table does not have it: as many as threads allow
    double share;  // of the warps; -1 if the table does not have it
};

Occupancy occupancy(const std::string& kernel,
                    const char* architecture,
                    Index threads,
                    std::size_t dynamic_shared);

// Loads that a thread of this kernel may have under way at once, by nvcc's code
// (results/loads.txt); 1 if the table does not have it.
Index loads_under_way(const std::string& kernel);

}  // namespace kvlab::app
