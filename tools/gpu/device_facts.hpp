// device_facts.hpp - what the driver says of the GPU, and how fast it copies: what figures of
// kernels are held against.
#pragma once

#include <kvlab/tensor/tensor.hpp>

namespace kvlab::bench {

// All zero without a GPU.
struct DeviceFacts {
    int capability = 0;  // 90 is 9.0
    int multiprocessors = 0;
    double clock_mhz = 0, memory_clock_mhz = 0;
    int bus_bits = 0;
    Index second_level_bytes = 0, memory_bytes = 0;
    int driver_cuda = 0, runtime_cuda = 0;  // 13000 is 13.0

    // GB/s of DRAM by clock and width of the bus; two bits per line and clock.
    double peak_gb_per_s() const { return 2 * memory_clock_mhz * 1e6 * bus_bits / 8 / 1e9; }
};

// Of the device that is selected.
DeviceFacts device_facts();

// GB/s, read and written ones together, of a copy inside of the GPU's memory that no cache
// holds: what a kernel can hope for. 0 without a GPU.
double copied_gb_per_s();

}  // namespace kvlab::bench
