// holes.cu - kernels of which a part is an open task, as in the starter that a student gets.
#include <kvlab/cuda/kernel.hpp>

namespace kvlab::KVLAB_KERNELS {

__global__ void hole_for_all(const float*, float*, int*, int) {
    // TASK 4.1: everything
    todo_device("4.1");
}

// All but one thread wait at a barrier that this one never comes to.
__global__ void hole_of_one_thread(const float* in, float* out, int*, int) {
    __shared__ float row[64];
    row[threadIdx.x] = in[threadIdx.x];
    if (threadIdx.x == 40) todo_device("4.2");
    __syncthreads();
    out[threadIdx.x] = row[63 - threadIdx.x];
}

// A result is never made: [[noreturn]] lets the function do without.
__device__ inline float value_of_a_hole(const float* in) {
    if (in[1] > in[0]) todo_device("4.3");
    return 0.0f;
}

// The lanes after the eighth wait for it in a shuffle, with a copy in flight.
__global__ void hole_in_a_function(const float* in, float* out, int*, int) {
    __shared__ float row[64];
    __pipeline_memcpy_async(&row[threadIdx.x], &in[threadIdx.x], 4);
    const float x = threadIdx.x == 8 ? value_of_a_hole(in) : 1.0f;
    out[threadIdx.x] = __shfl_sync(0xffffffffu, x, 8);
}

// What a thread reads here means nothing yet; the hole is the cause.
__global__ void hole_where_nothing_is_written(const float*, float* out, int*, int) {
    __shared__ float row[64];
    out[threadIdx.x] = row[threadIdx.x];
    todo_device("4.4");
}

// The first block waits for the grid, the last one has the hole.
__global__ void hole_of_one_block(const float* in, float* out, int*, int) {
    __shared__ float row[64];
    row[threadIdx.x] = in[threadIdx.x];
    if (blockIdx.x + 1 == gridDim.x) todo_device("4.5");
    cooperative_groups::this_grid().sync();
    out[threadIdx.x] = row[threadIdx.x];
}

}  // namespace kvlab::KVLAB_KERNELS
