// waiting.cu - wrong kernels: threads that wait for others which do not come. FAULT is the call
// in which the reported thread waits, OTHER where the one that it waits for is.
#include <kvlab/cuda/kernel.hpp>

namespace kvlab::KVLAB_KERNELS {

constexpr unsigned kAll = 0xffffffffu;

__global__ void returned_before_barrier(const float* in, float* out, int*, int n) {
    __shared__ float row[64];
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (i >= n) return;
    row[threadIdx.x] = in[i];
    __syncthreads();  // FAULT
    out[i] = row[threadIdx.x];
}

__global__ void barrier_in_one_branch(const float*, float*, int*, int) {
    if (threadIdx.x < 16) __syncthreads();  // FAULT
}

__global__ void barrier_in_each_branch(const float*, float*, int*, int) {
    if (threadIdx.x < 16)
        __syncthreads();  // OTHER
    else
        __syncthreads();  // FAULT
}

__global__ void barriers_by_thread(const float*, float*, int*, int) {
    for (unsigned i = 0; i < threadIdx.x; ++i) __syncthreads();  // FAULT
}

__global__ void lane_has_returned(const float* in, float* out, int*, int) {
    if (threadIdx.x >= 16) return;
    out[threadIdx.x] = __shfl_xor_sync(kAll, in[threadIdx.x], 1);  // FAULT
}

__global__ void lane_waits_at_barrier(const float* in, float* out, int*, int) {
    if (threadIdx.x < 16)
        out[threadIdx.x] = __shfl_xor_sync(kAll, in[threadIdx.x], 1);  // FAULT
    __syncthreads();                                                   // OTHER
}

__global__ void lane_does_not_exist(const float* in, float* out, int*, int) {
    out[threadIdx.x] = __shfl_xor_sync(kAll, in[threadIdx.x], 1);  // FAULT
}

__global__ void shuffles_in_two_places(const float* in, float* out, int*, int) {
    const float x = in[threadIdx.x];
    if (threadIdx.x < 16)
        out[threadIdx.x] = __shfl_xor_sync(kAll, x, 1);  // FAULT
    else
        out[threadIdx.x] = __shfl_xor_sync(kAll, -x, 1);  // OTHER
}

__global__ void ballot_and_shuffle(const float* in, float* out, int* counts, int) {
    if (threadIdx.x % 2 == 0)
        counts[threadIdx.x] = static_cast<int>(__ballot_sync(kAll, 1));  // FAULT
    else
        out[threadIdx.x] = __shfl_sync(kAll, in[threadIdx.x], 0);  // OTHER
}

__global__ void masks_differ(const float*, float*, int*, int) {
    __syncwarp(threadIdx.x < 16 ? 0x0000ffffu | 1u << 31 : kAll);  // FAULT OTHER
}

__global__ void lane_leaves_itself_out(const float* in, float* out, int*, int) {
    out[threadIdx.x] = __shfl_sync(0x0000ffffu, in[threadIdx.x], 0);  // FAULT
}

__global__ void source_not_in_mask(const float* in, float* out, int*, int) {
    if (threadIdx.x < 16)
        out[threadIdx.x] = __shfl_sync(0x0000ffffu, in[threadIdx.x], 20);  // FAULT
}

}  // namespace kvlab::KVLAB_KERNELS
