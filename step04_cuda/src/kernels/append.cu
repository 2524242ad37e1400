// append.cu - chapter 4: new keys and values go to their slots of the cache.
#include "contract.cuh"

namespace kvlab::KVLAB_KERNELS {

// k, v [T, Hkv, D], tokens `stride` floats apart, to slots first ... first + T - 1 of keys,
// values [Hkv, capacity, D]. A thread has one number of each. Grid (Hkv * D / threads, T), any
// block size.
// ANCHOR: append
__global__ void append_rows(const float* k,
                            const float* v,
                            int stride,
                            float* keys,
                            float* values,
                            int kv_heads,
                            int head_dim,
                            int capacity,
                            int first) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x, t = blockIdx.y;
    if (i >= kv_heads * head_dim) return;
    const long long from = static_cast<long long>(t) * stride + i;
    const long long slot = static_cast<long long>(i / head_dim) * capacity + first + t;
    keys[slot * head_dim + i % head_dim] = k[from];
    values[slot * head_dim + i % head_dim] = v[from];
}

// ANCHOR_END: append

// Slots [0, count) of `from` [Hkv, from_capacity, D] to the same slots of `to`: for a fork.
// Grid (count * D / threads, Hkv), any block size.
__global__ void copy_slots(
    const float* from, int from_capacity, float* to, int to_capacity, int count, int head_dim) {
    const long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    const long long h = blockIdx.y;
    if (i < static_cast<long long>(count) * head_dim)
        to[h * to_capacity * head_dim + i] = from[h * from_capacity * head_dim + i];
}

}  // namespace kvlab::KVLAB_KERNELS
