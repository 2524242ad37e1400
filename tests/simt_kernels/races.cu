// races.cu - wrong kernels: two threads, one of them writes, nothing orders them. FAULT is the
// access that comes second when threads run in order, OTHER the one before.
#include <kvlab/cuda/kernel.hpp>

namespace kvlab::KVLAB_KERNELS {

__global__ void no_barrier_before_read(const float* in, float* out, int*, int) {
    __shared__ float row[32];
    row[threadIdx.x] = in[threadIdx.x];             // FAULT
    const float neighbour = row[threadIdx.x ^ 1u];  // OTHER
    out[threadIdx.x] = neighbour;
}

__global__ void no_barrier_before_write(const float* in, float* out, int*, int) {
    __shared__ float row[33];
    row[threadIdx.x] = in[threadIdx.x];
    if (threadIdx.x == 0) row[32] = 0.0f;
    __syncthreads();
    const float next = row[threadIdx.x + 1];  // OTHER
    row[threadIdx.x] = next;                  // FAULT
    __syncthreads();
    out[threadIdx.x] = row[threadIdx.x];
}

__global__ void all_write_one_word(const float* in, float* out, int*, int) {
    __shared__ float first;
    first = in[0];  // FAULT OTHER
    __syncthreads();
    out[threadIdx.x] = first;
}

__global__ void reduction_without_barrier(const float* in, float* out, int*, int) {
    __shared__ float sums[128];
    sums[threadIdx.x] = in[threadIdx.x % 100];
    __syncthreads();
    for (unsigned stride = 64; stride > 0; stride /= 2)
        if (threadIdx.x < stride) {
            const float other = sums[threadIdx.x + stride];  // OTHER
            sums[threadIdx.x] += other;                      // FAULT
        }
    if (threadIdx.x == 0) out[0] = sums[0];
}

__global__ void shuffle_is_no_barrier(const float* in, float* out, int*, int) {
    __shared__ float row[32];
    row[threadIdx.x] = in[threadIdx.x];  // OTHER
    const float x = __shfl_xor_sync(0xffffffffu, in[threadIdx.x], 1);
    out[threadIdx.x] = x + row[threadIdx.x ^ 1u];  // FAULT
}

__global__ void syncwarp_is_no_block_barrier(const float* in, float* out, int*, int) {
    __shared__ float row[64];
    row[threadIdx.x] = in[threadIdx.x];  // OTHER
    __syncwarp();
    const float mirror = row[63 - threadIdx.x];  // FAULT
    out[threadIdx.x] = mirror;
}

__global__ void global_without_barrier(const float*, float* out, int* counts, int) {
    counts[threadIdx.x] = 1;                                          // FAULT
    out[threadIdx.x] = static_cast<float>(counts[threadIdx.x ^ 1u]);  // OTHER
}

__global__ void blocks_write_one_word(const float* in, float* out, int*, int) {
    out[threadIdx.x] = in[threadIdx.x];  // FAULT OTHER
}

__global__ void block_reads_what_another_wrote(const float*, float* out, int* counts, int) {
    if (blockIdx.x == 0) counts[threadIdx.x] = 1;  // OTHER
    __syncthreads();
    if (blockIdx.x == 2) out[threadIdx.x] = static_cast<float>(counts[threadIdx.x]);  // FAULT
}

// Both blocks read first; the second one's own read must not hide the first one's.
__global__ void block_writes_what_another_read(const float*, float* out, int* counts, int) {
    const int before = counts[threadIdx.x];  // OTHER
    __syncthreads();
    if (blockIdx.x == 1) counts[threadIdx.x] = before + 1;  // FAULT
    if (blockIdx.x == 1) out[threadIdx.x] = static_cast<float>(before);
}

__global__ void plain_increment(const float*, float*, int* counts, int) {
    const int before = counts[0];  // FAULT
    counts[0] = before + 1;        // OTHER
}

__global__ void atomic_and_plain(const float*, float* out, int* counts, int) {
    atomicAdd(&counts[0], 1);                                      // FAULT
    if (threadIdx.x == 0) out[0] = static_cast<float>(counts[0]);  // OTHER
}

__global__ void two_write_one_float4(const float* in, float*, int*, int) {
    __shared__ float row[64];
    float4* four = reinterpret_cast<float4*>(row);
    const float x = in[threadIdx.x];
    four[threadIdx.x / 2] = make_float4(x, x, x, x);  // FAULT OTHER
}

}  // namespace kvlab::KVLAB_KERNELS
