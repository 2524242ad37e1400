// argmax_3_blocks.cu - chapter 4: the most likely token, by many blocks of threads.
//
// was           one block of threads: one of a GPU's hundred processors reads all logits
// change        up to 128 blocks look at a share each, a thread at four values at a time. In a
//               warp the winners meet by shuffles, in shared memory once per warp. Each block
//               leaves one winner, and a second kernel lets these meet
// why faster    every processor reads, four loads per thread under way; one barrier, not ten
// still bad     a launch of its own, to compare 48 numbers; and the logits go through global
//               memory, only to be read here
#include "winner.cuh"

namespace kvlab::KVLAB_KERNELS {

// ANCHOR: winner
// parts [blocks][2]: index and value (its bits) of each block's winner. Block a multiple of 32.
__global__ void argmax_parts(const float* values, int count, int* parts) {
    __shared__ float warp_values[32];
    __shared__ int warp_indices[32];
    const int all = gridDim.x * blockDim.x, first = blockIdx.x * blockDim.x + threadIdx.x;
    const int lane = threadIdx.x % 32, warps = blockDim.x / 32;
    Winner mine = nobody();
    for (int begin = first; begin < count; begin += kArgmaxLoads * all) {
        float next[kArgmaxLoads];
#pragma unroll
        for (int j = 0; j < kArgmaxLoads; ++j)
            next[j] = values[smaller(begin + j * all, count - 1)];
#pragma unroll
        for (int j = 0; j < kArgmaxLoads; ++j)
            mine = winner_of(mine, {next[j], smaller(begin + j * all, count - 1)});
    }
    mine = winner_of_warp(mine);
    if (lane == 0) {
        warp_values[threadIdx.x / 32] = mine.value;
        warp_indices[threadIdx.x / 32] = mine.index;
    }
    __syncthreads();
    if (threadIdx.x >= 32) return;
    const int of = smaller(lane, warps - 1);
    mine = winner_of_warp({warp_values[of], warp_indices[of]});
    if (lane == 0) {
        parts[2 * blockIdx.x] = mine.index;
        parts[2 * blockIdx.x + 1] = __float_as_int(mine.value);
    }
}

// best[0] = the winner among the blocks' winners. One warp.
__global__ void argmax_of_parts(const int* parts, int blocks, int* best) {
    Winner mine = nobody();
    for (int b = threadIdx.x; b < blocks; b += 32)
        mine = winner_of(mine, {__int_as_float(parts[2 * b + 1]), parts[2 * b]});
    mine = winner_of_warp(mine);
    if (threadIdx.x == 0) best[0] = mine.index;
}

// ANCHOR_END: winner

}  // namespace kvlab::KVLAB_KERNELS

#if KVLAB_HOST_CODE
KVLAB_LAUNCHABLE(argmax_parts)
KVLAB_LAUNCHABLE(argmax_of_parts)

namespace kvlab::kernels {

void launch_argmax_blocks(const float* values, int count, int* best, unsigned threads) {
    const unsigned blocks = std::min(groups(count, Index{kArgmaxLoads} * threads),
                                     static_cast<unsigned>(kMostArgmaxBlocks));
    int* const parts = best + 1;
    launch(argmax_parts, blocks, threads, 0, values, count, parts);
    launch(argmax_of_parts, 1, kWarp, 0, parts, static_cast<int>(blocks), best);
}

}  // namespace kvlab::kernels
#endif
