// yardstick.cu - chapter 4: what the memory of this GPU really gives: a kernel that reads an
// array and does nothing else worth the name, and one that copies it. No kernel of a ladder can
// move bytes faster than these two, so its share of them says how much is left to gain.
//
// Each thread has four loads of 16 bytes under way before it uses the first, and neighbours
// read neighbours: a warp's request is 512 bytes in 16 whole sectors.
#include <kvlab/cuda/kernel.hpp>

#include "yardstick.cuh"

namespace kvlab::KVLAB_KERNELS {

constexpr int kUnderWay = 4;

__device__ __forceinline__ long long threads_of_grid() {
    return static_cast<long long>(gridDim.x) * blockDim.x;
}

__device__ __forceinline__ long long thread_of_grid() {
    return static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
}

__device__ __forceinline__ float sum_of(const float4& four) {
    return four.x + four.y + (four.z + four.w);
}

// ANCHOR: read
__global__ void read_all(const float* from, float* sums, long long fours) {
    const float4* in = reinterpret_cast<const float4*>(from);
    const long long step = threads_of_grid();
    long long i = thread_of_grid();
    float sum = 0.0f;
    for (; i + (kUnderWay - 1) * step < fours; i += kUnderWay * step) {
        float4 under_way[kUnderWay];
#pragma unroll
        for (int j = 0; j < kUnderWay; ++j) under_way[j] = in[i + j * step];
#pragma unroll
        for (int j = 0; j < kUnderWay; ++j) sum = sum + sum_of(under_way[j]);
    }
    for (; i < fours; i += step) sum = sum + sum_of(in[i]);
    sums[thread_of_grid()] = sum;  // or the compiler would leave out the loads
}

// ANCHOR_END: read

__global__ void copy_all(const float* from, float* to, long long fours) {
    const float4* in = reinterpret_cast<const float4*>(from);
    float4* out = reinterpret_cast<float4*>(to);
    const long long step = threads_of_grid();
    long long i = thread_of_grid();
    for (; i + (kUnderWay - 1) * step < fours; i += kUnderWay * step) {
        float4 under_way[kUnderWay];
#pragma unroll
        for (int j = 0; j < kUnderWay; ++j) under_way[j] = in[i + j * step];
#pragma unroll
        for (int j = 0; j < kUnderWay; ++j) out[i + j * step] = under_way[j];
    }
    for (; i < fours; i += step) out[i] = in[i];
}

}  // namespace kvlab::KVLAB_KERNELS
