// gpu_runtime.hpp - chapter 4: what the rest of the program asks of a GPU, without CUDA's
// types: cuda_runtime.cu does it, no_gpu.cpp stands in where there is no nvcc. All but
// gpu_found throw Error with CUDA's own words. gpu_open() comes first.
#pragma once

#include <cstddef>
#include <string>

#include <kvlab/cuda/device_facts.hpp>

namespace kvlab {

// Whether nvcc has compiled the kernels; see device.hpp.
extern const bool kGpuBuilt;

bool gpu_found(std::string* why_not);
void gpu_open();
std::string gpu_name();
DeviceFacts gpu_facts();

// Bytes of static shared memory that the kernel's compiler found.
std::size_t gpu_static_shared(const char* kernel, const void* function);

struct GpuLaunch {
    const char* kernel;
    const void* function;  // namespace gpu's
    void** arguments;      // a pointer to each
    unsigned grid[3], block[3];
    std::size_t dynamic_shared;  // bytes
    bool large_shared;           // more than what need not be asked for
    bool cooperative;            // all blocks at the same time
};

// Returns at once, as soon as the launch is in the stream.
void gpu_launch(const GpuLaunch& launch);

// How many blocks of such a launch the device can hold at the same time.
unsigned gpu_resident_blocks(const GpuLaunch& launch);

// From begin to end, launches run nowhere: they go into a graph, which `end` returns (null if
// there are none), and `launch` puts into the stream. `abandon` in the place of `end` forgets.
void gpu_graph_begin();
void* gpu_graph_end();
void gpu_graph_abandon();
void gpu_graph_launch(void* graph);
void gpu_graph_drop(void* graph);

void* gpu_alloc(std::size_t bytes, const char* name);
void gpu_free(void* pointer);
void gpu_copy_to_device(void* device, const void* host, std::size_t bytes);
void gpu_copy_to_host(void* host, const void* device, std::size_t bytes);
void gpu_synchronize();

// Two marks in the stream. `begin` sets the first; `end` sets the second, waits for it, and
// returns the seconds between the two.
void* gpu_seconds_make();
void gpu_seconds_begin(void* events);
double gpu_seconds_end(void* events);
void gpu_seconds_drop(void* events);

}  // namespace kvlab
