// words.cu - CUDA's words beyond what the product's kernels need: what each one gives.
#include <kvlab/cuda/kernel.hpp>

namespace kvlab::KVLAB_KERNELS {

// What one unsigned number becomes: out [n, 8].
__global__ void words_of_bits(const unsigned* in, unsigned* out, int n) {
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (i >= n) return;
    const unsigned x = __ldg(&in[i]);
    const int bits = static_cast<int>(x);
    const uint4 first =
        make_uint4(static_cast<unsigned>(__popc(x)), static_cast<unsigned>(__ffs(bits)),
                   static_cast<unsigned>(__clz(bits)), __brev(x));
    const uint4 second =
        make_uint4(__umulhi(x, 0x9e3779b9u), static_cast<unsigned>(__mulhi(bits, -7)),
                   max(x, 77u), static_cast<unsigned>(min(bits, 77)));
    uint4* to = reinterpret_cast<uint4*>(out + 8 * i);
    to[0] = first;
    __stcg(&to[1], second);
}

// What one float becomes: out [n, 14].
__global__ void words_of_floats(const float* in, int* out, int n) {
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    if (i >= n) return;
    const float x = __ldcg(&in[i]);
    int* to = out + 14 * i;
    to[0] = __float2int_rn(x);
    to[1] = __float2int_rz(x);
    to[2] = __float2int_rd(x);
    to[3] = __float2int_ru(x);
    to[4] = static_cast<int>(__float2uint_rn(x));
    to[5] = static_cast<int>(__float2uint_rz(x));
    to[6] = static_cast<int>(__float_as_uint(x));
    to[7] = __float_as_int(__uint_as_float(__float_as_uint(x)));
    to[8] = __float_as_int(__int2float_rn(__float_as_int(x)));
    to[9] = __float_as_int(__fdiv_rn(x, 3.0f));
    to[10] = __float_as_int(__fsub_rn(x, 0.1f));
    const long long wide = __float2ll_rn(x);
    to[12] = static_cast<int>(wide >> 32);
    to[13] = static_cast<int>(wide);
    to[11] = __float_as_int(__fsqrt_rn(x * x));
}

// One block: every thread updates every counter.
__global__ void words_of_atomics(int* counts, unsigned* unsigneds) {
    const int i = static_cast<int>(threadIdx.x);
    atomicAdd(&counts[0], i);
    atomicSub(&counts[1], i);
    atomicMin(&counts[2], -i);
    atomicMax(&counts[3], i);
    atomicAnd(&counts[4], ~(1 << i % 8));
    atomicOr(&counts[5], 1 << i % 30);
    atomicXor(&counts[6], 1 << i % 3);
    atomicInc(&unsigneds[0], 9);
    atomicDec(&unsigneds[1], 9);
    atomicMax(&unsigneds[2], 0x80000000u + static_cast<unsigned>(i));
    // Each thread takes a ticket; whoever is the first to swap wins.
    const int ticket = atomicAdd(&counts[7], 1);
    atomicExch(&counts[16 + ticket], 100 + ticket);
    if (atomicCAS(&counts[8], 0, 1) == 0) atomicAdd(&counts[9], 1);
}

// Votes of a block: out [threads, 3].
__global__ void words_of_barriers(const int* in, int* out) {
    const int i = static_cast<int>(threadIdx.x), x = in[i];
    out[3 * i] = __syncthreads_count(x);
    out[3 * i + 1] = __syncthreads_or(x);
    out[3 * i + 2] = __syncthreads_and(x);
}

// The last warp is not full: its lanes read from lanes that are not there, and do not use it.
__global__ void partial_warp_sum(const float* in, float* out, int*, int n) {
    const int i = static_cast<int>(threadIdx.x);
    const unsigned lanes = (1u << n) - 1u;
    if (i >= n) return;
    float sum = in[i];
    for (unsigned by = 16; by > 0; by /= 2) {
        const float other = __shfl_down_sync(lanes, sum, by);
        if (i + static_cast<int>(by) < n) sum += other;
    }
    if (i == 0) out[0] = sum;
}

// What such a lane gets.
__global__ void outside_of_the_mask(const float* in, float* out, int*, int) {
    if (threadIdx.x < 8) {
        out[threadIdx.x] = __shfl_down_sync(0xffu, in[threadIdx.x], 4);
        out[8 + threadIdx.x] = __shfl_up_sync(0xffu, in[threadIdx.x], 4);
    } else if (threadIdx.x >= 24) {
        out[threadIdx.x] = __shfl_up_sync(0xff000000u, in[threadIdx.x], 4);
    }
}

}  // namespace kvlab::KVLAB_KERNELS
