// right.cu - right kernels: nothing is to be reported, in any order of threads.
#define KVLAB_FLOAT_ATOMICS 1  // order_matters demonstrates one
#include <kvlab/cuda/kernel.hpp>

namespace kvlab::KVLAB_KERNELS {

constexpr unsigned kAllLanes = 0xffffffffu;

__device__ inline int own_index() {
    return static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
}

__global__ void fma_with_ragged_tail(const float* in, float* out, int*, int n) {
    const int i = own_index();
    if (i < n) {
        const float x = in[i];
        out[i] = __fadd_rn(fmaf(x, x, 1.0f), __fmul_rn(x, 3.0f));
    }
}

__global__ void every_other(const float* in, float* out, int*, int) {
    out[threadIdx.x] = in[2 * threadIdx.x];
}

__global__ void copy_float4(const float* in, float* out, int*, int n) {
    const int i = own_index();
    if (4 * i < n) reinterpret_cast<float4*>(out)[i] = reinterpret_cast<const float4*>(in)[i];
}

// Halves the row of numbers until one is left, with a barrier each time.
__global__ void block_sum(const float* in, float* out, int*, int) {
    __shared__ float sums[128];
    sums[threadIdx.x] = in[threadIdx.x];
    __syncthreads();
    for (unsigned stride = 64; stride > 0; stride /= 2) {
        if (threadIdx.x < stride) sums[threadIdx.x] += sums[threadIdx.x + stride];
        __syncthreads();
    }
    if (threadIdx.x == 0) out[blockIdx.x] = sums[0];
}

// The second warp of a block has one number to add, the third n / 16 + 1, the others none.
__global__ void one_warp_works(const float* in, float* out, int*, int n) {
    const unsigned warp = threadIdx.x / 32;
    const int mine = warp == 1 ? 1 : warp == 2 ? n / 16 + 1 : 0;
    float sum = 0.0f;
    for (int i = 0; i < mine; ++i) sum += in[i];
    out[own_index()] = sum;
}

__global__ void warp_sum(const float* in, float* out, int*, int) {
    float x = in[threadIdx.x];
    for (int lanes = 16; lanes > 0; lanes /= 2) x += __shfl_xor_sync(kAllLanes, x, lanes);
    out[threadIdx.x] = x;
}

// Two groups of 16 lanes, each with a mask of its own, of which one is busy longer.
__global__ void half_warps(const float* in, float* out, int*, int) {
    float x = in[threadIdx.x];
    const unsigned mask = threadIdx.x < 16 ? 0x0000ffffu : 0xffff0000u;
    const int rounds = threadIdx.x < 16 ? 1 : 3;
    for (int i = 0; i < rounds; ++i) x += __shfl_down_sync(mask, x, 8, 16);
    out[threadIdx.x] = x;
}

__global__ void histogram(const float* in, float*, int* counts, int n) {
    __shared__ int bins[8];
    if (threadIdx.x < 8) bins[threadIdx.x] = 0;
    __syncthreads();
    const int i = own_index();
    if (i < n) atomicAdd(&bins[static_cast<int>(in[i]) % 8], 1);
    __syncthreads();
    if (threadIdx.x < 8) atomicAdd(&counts[threadIdx.x], bins[threadIdx.x]);
    if (i < n) atomicMax(&counts[8], static_cast<int>(in[i]));
}

__global__ void exchange_in_warp(const float* in, float* out, int*, int) {
    __shared__ float row[64];
    for (int round = 0; round < 3; ++round) {
        row[threadIdx.x] = in[threadIdx.x] + static_cast<float>(round);
        __syncwarp();
        const float x = row[threadIdx.x ^ 1u];
        __syncwarp();
        out[threadIdx.x] = x;
    }
}

// Threads share words, not bytes.
__global__ void bytes_side_by_side(const float*, float* out, int*, int) {
    __shared__ unsigned char bytes[64];
    bytes[threadIdx.x] = static_cast<unsigned char>(threadIdx.x);
    __syncthreads();
    out[threadIdx.x] = bytes[63 - threadIdx.x];
}

__global__ void banks(const float* in, float* out, int*, int) {
    __shared__ float rows[32 * 33];
    const unsigned t = threadIdx.x;
    for (unsigned i = 0; i < 33; ++i) rows[32 * i + t] = in[t];  // 33 x 1 wavefront
    __syncthreads();
    float x = rows[0];  // one word for all: 1
    x += rows[2 * t];   // two words in each second bank: 2
    x += rows[32 * t];  // all in one bank: 32
    x += rows[33 * t];  // each in another bank: 1
    x += rows[8 * t];   // four banks with eight words each: 8
    out[t] = x;
}

__global__ void grid_of_three_dimensions(const float*, float* out, int*, int) {
    const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    out[block * blockDim.x * blockDim.y * blockDim.z + thread] =
        static_cast<float>(100 * block + thread);
}

template <int kFactor>
__device__ float reversed_times(const float* in) {
    __shared__ float row[64];
    row[threadIdx.x] = in[threadIdx.x];
    __syncthreads();
    return static_cast<float>(kFactor) * row[63 - threadIdx.x];
}

__global__ void shared_in_a_template(const float* in, float* out, int*, int) {
    out[threadIdx.x] = reversed_times<2>(in) + reversed_times<3>(in);
}

// Each call gets a word of its own in `out`.
__global__ void votes_and_shifts(const float* in, float* out, int* counts, int) {
    const int lane = static_cast<int>(threadIdx.x);
    const float x = in[lane];
    out[lane] =
        __shfl_up_sync(kAllLanes, x, 3) + 100.0f * __shfl_sync(kAllLanes, x, lane + 9, 8);
    counts[lane] = static_cast<int>(__ballot_sync(kAllLanes, lane % 3 == 0) >> 1);
    if (__any_sync(kAllLanes, lane == 7) != 0 && __all_sync(kAllLanes, lane < 31) == 0)
        counts[lane + 32] = 1;
}

// Wrong, but no checker sees it: atomics have no order, and the sum of floats depends on it.
__global__ void order_matters(const float* in, float*, int* counts, int) {
    const float big = in[threadIdx.x] == 0.0f ? 0x1p24f : 1.0f;
    atomicAdd(reinterpret_cast<float*>(&counts[0]), big);
}

}  // namespace kvlab::KVLAB_KERNELS
