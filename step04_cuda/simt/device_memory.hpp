// device_memory.hpp - chapter 4: device memory of the executor. The public functions of
// <kvlab/cuda/device_memory.hpp> come here unless a GPU is selected, and say what each does.
#pragma once

#include <cstddef>
#include <mutex>

namespace kvlab::simt {

// There is one machine, whose memory map and shared arrays all threads would share: launches,
// copies and allocations come one at a time.
std::mutex& machine_mutex();

void* alloc(std::size_t bytes, std::size_t granule, const char* name);
void free(void* pointer);
void copy_to_device(void* device, const void* host, std::size_t bytes);
void copy_to_host(void* host, const void* device, std::size_t bytes);
void freeze(const void* pointer);

}  // namespace kvlab::simt
