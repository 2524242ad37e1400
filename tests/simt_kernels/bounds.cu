// bounds.cu - wrong kernels: accesses where nothing is, or nothing was written. The line that
// the executor has to name ends with FAULT.
#include <cstdint>

#include <kvlab/cuda/kernel.hpp>

namespace kvlab::KVLAB_KERNELS {

__device__ inline int global_index() {
    return static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
}

__global__ void unguarded_tail(const float* in, float* out, int*, int) {
    const int i = global_index();
    out[i] = in[i];  // FAULT
}

__global__ void store_past_the_end(const float* in, float* out, int*, int n) {
    const int i = global_index();
    if (i < n) {
        const float value = in[i];
        out[i + 1] = value;  // FAULT
    }
}

__global__ void before_the_beginning(const float*, float* out, int*, int n) {
    const int i = global_index();
    if (i < n) out[i - 1] = 0.0f;  // FAULT
}

__global__ void shared_past_the_end(const float* in, float* out, int*, int) {
    __shared__ float row[32];
    row[threadIdx.x + 1] = in[threadIdx.x];  // FAULT
    out[threadIdx.x] = row[threadIdx.x + 1];
}

// 4096 bytes are a multiple of every alignment that a compiler would choose.
__global__ void shared_into_the_next_array(const float* in, float* out, int*, int) {
    __shared__ float first[1024];
    __shared__ float second[1024];
    second[threadIdx.x] = in[threadIdx.x];
    first[threadIdx.x + 1000] = in[threadIdx.x];  // FAULT
    __syncthreads();
    out[threadIdx.x] = first[threadIdx.x] + second[threadIdx.x];
}

__global__ void dynamic_shared_too_small(const float* in, float*, int*, int) {
    KVLAB_DYNAMIC_SHARED(float, row);
    row[threadIdx.x] = in[threadIdx.x];  // FAULT
}

__global__ void wild_pointer(const float*, float* out, int*, int n) {
    const float* nowhere = reinterpret_cast<const float*>(static_cast<std::uintptr_t>(n));
    out[threadIdx.x] = *nowhere;  // FAULT
}

__global__ void float4_past_the_end(const float* in, float* out, int*, int) {
    const float4 four = reinterpret_cast<const float4*>(in)[threadIdx.x];  // FAULT
    out[threadIdx.x] = four.x;
}

__global__ void misaligned_float4(const float* in, float* out, int*, int) {
    const float4 four = *reinterpret_cast<const float4*>(in + 1);  // FAULT
    out[threadIdx.x] = four.x;
}

__global__ void misaligned_shared_float2(const float* in, float*, int*, int) {
    __shared__ float row[64];
    float2* pairs = reinterpret_cast<float2*>(row + 1);
    const float x = in[threadIdx.x];
    pairs[threadIdx.x / 2] = make_float2(x, x);  // FAULT
}

__global__ void uninitialised_global(const float* in, float* out, int*, int) {
    const float x = in[threadIdx.x];
    out[threadIdx.x] += x;  // FAULT
}

__global__ void uninitialised_shared(const float* in, float* out, int*, int) {
    __shared__ float row[32];
    if (threadIdx.x < 31) row[threadIdx.x] = in[threadIdx.x];
    __syncthreads();
    out[threadIdx.x] = row[31 - threadIdx.x];  // FAULT
}

__global__ void uninitialised_dynamic(const float* in, float*, int*, int) {
    KVLAB_DYNAMIC_SHARED(float, sums);
    const float x = in[threadIdx.x];
    sums[threadIdx.x] += x;  // FAULT
}

__global__ void shared_of_the_block_before(const float* in, float* out, int*, int) {
    __shared__ float row[32];
    if (blockIdx.x == 0) row[threadIdx.x] = in[threadIdx.x];
    __syncthreads();
    if (blockIdx.x == 1) out[threadIdx.x] = row[threadIdx.x];  // FAULT
}

__global__ void uninitialised_atomic(const float*, float*, int*, int) {
    __shared__ int count;
    atomicAdd(&count, 1);  // FAULT
}

__global__ void writes_its_input(const float* in, float*, int*, int) {
    const_cast<float*>(in)[threadIdx.x] = 0.0f;  // FAULT
}

__device__ float element(const float* values, int i) {
    return values[i];  // FAULT of wrong_in_a_function
}

__global__ void wrong_in_a_function(const float* in, float* out, int*, int n) {
    if (threadIdx.x < 4) out[threadIdx.x] = element(in, static_cast<int>(threadIdx.x));
    if (threadIdx.x == 5) out[5] = element(in, n);
}

__device__ __forceinline__ float inlined_element(const float* values, int i) {
    return values[i];  // FAULT of wrong_in_an_inlined_function
}

__global__ void wrong_in_an_inlined_function(const float* in, float* out, int*, int n) {
    out[threadIdx.x] = inlined_element(in, n);
}

#ifdef __CUDACC__  // nvcc refuses to compile the other one
__global__ void too_much_static_shared(const float*, float*, int*, int) {}
#else
__global__ void too_much_static_shared(const float* in, float* out, int*, int) {
    __shared__ float tile[12289];  // 48 KiB and 4 bytes
    tile[threadIdx.x] = in[threadIdx.x];
    out[threadIdx.x] = tile[threadIdx.x];
}
#endif

}  // namespace kvlab::KVLAB_KERNELS
