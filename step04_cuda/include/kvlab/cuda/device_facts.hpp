// device_facts.hpp - chapter 4: what the driver says of a GPU: what measured figures are held
// against. No type of CUDA's is in it: both worlds read it.
#pragma once

#include <cstddef>

#include <kvlab/tensor/compiler.hpp>

namespace kvlab {

// All zero for the executor.
struct DeviceFacts {
    int capability = 0;  // 90 is 9.0
    int multiprocessors = 0;
    double clock_mhz = 0, memory_clock_mhz = 0;
    int bus_bits = 0;
    std::ptrdiff_t second_level_bytes = 0, memory_bytes = 0;
    int driver_cuda = 0, runtime_cuda = 0;  // 13020 is 13.2

    // GB/s of DRAM by the clock and the width of the bus; two bits per line and clock.
    double peak_gb_per_s() const { return 2 * memory_clock_mhz * 1e6 * bus_bits / 8 / 1e9; }
};

}  // namespace kvlab
