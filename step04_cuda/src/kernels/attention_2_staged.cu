// attention_2_staged.cu - chapter 4: the scores and the softmax again, by warps.
//
// was           lanes read keys D floats apart; one thread goes through a row of scores
// change        a block of 64 threads takes one tile of 64 keys: it copies them into shared
//               memory side by side, then each thread has one key. The softmax has a warp for
//               each row
// why faster    each sector of the keys moves once instead of once per number; 32 lanes look
//               for the maximum and make the weights
// still bad     scores still go through global memory, and each query head still reads the
//               keys and values of its group's KV head for itself
//
// The weighted values stay those of attention_1_naive.cu: their lanes are different
// components, side by side already.
#include "attention_tile.cuh"

namespace kvlab::KVLAB_KERNELS {

// As scores_naive; grid (T * Hq, tiles), block 64.
__global__ void scores_staged(AttentionArgs args, float* scores) {
    __shared__ float tile[kTile * kTileStride];
    const int r = blockIdx.x, t = r / args.heads, h = r % args.heads, D = args.head_dim;
    const int s = threadIdx.x, first_slot = blockIdx.y * kTile;
    const int here = smaller(kTile, args.past + t + 1 - first_slot);
    if (here <= 0) return;  // all of the tile is behind this token
    const float* query = row(args.q, t) + h * D;
    const float* first =
        args.keys + (static_cast<long long>(h / args.group) * args.capacity + first_slot) * D;
    float total = 0.0f;
    // SOLUTION-BEGIN 4.2
    for (int begin = 0; begin < D; begin += kSumBlock) {
        const int count = smaller(kSumBlock, D - begin);
        copy_tile(first, D, begin, count, here, tile);
        __syncthreads();
        if (s < here) {
            float block = 0.0f;
            for (int i = 0; i < count; ++i)
                block = fmaf(query[begin + i], tile[s * kTileStride + i], block);
            total = add_block(begin == 0, total, block);
        }
        __syncthreads();
    }
    // SOLUTION-END 4.2
    if (s < here) row(Rows{scores, args.slots}, r)[first_slot + s] = total;
}

// As softmax_naive; a warp for each row. Grid (T * Hq), block 32.
__global__ void softmax_warp(AttentionArgs args, float* scores, float* totals) {
    const int r = blockIdx.x, lane = threadIdx.x, sees = args.past + r / args.heads + 1;
    float* of_row = row(Rows{scores, args.slots}, r);
    float maximum = exp2_parts(of_row[0]).n;
    for (int s = lane; s < sees; s += 32) {
        const float n = exp2_parts(of_row[s]).n;
        maximum = n > maximum ? n : maximum;
    }
    for (int step = 16; step > 0; step /= 2) {
        const float other = __shfl_xor_sync(0xffffffffu, maximum, step);
        maximum = other > maximum ? other : maximum;
    }
    __syncwarp();  // all lanes have read the scores
    for (int s = lane; s < sees; s += 32) {
        const Exp2Parts parts = exp2_parts(of_row[s]);
        of_row[s] = parts.p * pow2(parts.n - maximum);
    }
    __syncwarp();
    // 32 tiles at a time: each lane sums one tile, then the sums are added in order.
    float total = 0.0f;
    const int tiles = (sees + kTile - 1) / kTile;
    for (int first = 0; first < tiles; first += 32) {
        const int begin = (first + lane) * kTile;
        float mine = 0.0f;
        for (int s = begin; s < smaller(begin + kTile, sees); ++s) mine = mine + of_row[s];
        for (int from = 0; from < smaller(32, tiles - first); ++from)
            total = add_block(first + from == 0, total, __shfl_sync(0xffffffffu, mine, from));
    }
    if (lane == 0) totals[r] = total;
}

}  // namespace kvlab::KVLAB_KERNELS

#if KVLAB_HOST_CODE
KVLAB_LAUNCHABLE(scores_staged)
KVLAB_LAUNCHABLE(softmax_warp)

namespace kvlab::kernels {

void launch_attention_staged(const AttentionArgs& args, unsigned threads, Scratch& scratch) {
    const Index rows = Index{args.tokens} * args.heads;
    float* const scores = scratch.floats(rows * (args.slots + 1));
    float* const totals = scores + rows * args.slots;
    launch(scores_staged, {groups(rows, 1), groups(args.tiles, 1)}, threads, 0, args, scores);
    launch(softmax_warp, groups(rows, 1), kWarp, 0, args, scores, totals);
    launch_values(args, scores, totals);
}

}  // namespace kvlab::kernels
#endif
