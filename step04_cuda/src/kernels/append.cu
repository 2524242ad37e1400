// append.cu - chapter 4: new keys and values go to their slots of the cache.
#include "contract.cuh"

namespace kvlab::KVLAB_KERNELS {

// A thread has one number of each. Grid (Hkv * D / threads, T), any block size.
// ANCHOR: append
__global__ void append_rows(AppendArgs args) {
    // SOLUTION-BEGIN 4.1
    const int i = blockIdx.x * blockDim.x + threadIdx.x, t = blockIdx.y, D = args.head_dim;
    if (i >= args.kv_heads * D) return;
    const long long slot = static_cast<long long>(i / D) * args.capacity + args.first + t;
    args.keys[slot * D + i % D] = row(args.k, t)[i];
    args.values[slot * D + i % D] = row(args.v, t)[i];
    // SOLUTION-END 4.1
}

// ANCHOR_END: append

// For a fork. Grid (count * D / threads, Hkv), any block size.
__global__ void copy_slots(CopyArgs args) {
    const long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    const long long h = blockIdx.y, D = args.head_dim;
    if (i < args.count * D)
        args.to[h * args.to_capacity * D + i] = args.from[h * args.from_capacity * D + i];
}

}  // namespace kvlab::KVLAB_KERNELS

#if KVLAB_HOST_CODE
KVLAB_LAUNCHABLE(append_rows)
KVLAB_LAUNCHABLE(copy_slots)

namespace kvlab::kernels {

void launch_append(const AppendArgs& args) {
    launch(append_rows,
           {groups(Index{args.kv_heads} * args.head_dim, kThreads), groups(args.tokens, 1)},
           kThreads, 0, args);
}

void launch_copy_slots(const CopyArgs& args) {
    launch(copy_slots,
           {groups(Index{args.count} * args.head_dim, kThreads), groups(args.kv_heads, 1)},
           kThreads, 0, args);
}

}  // namespace kvlab::kernels
#endif
