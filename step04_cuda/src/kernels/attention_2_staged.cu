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
__global__ void scores_staged(const float* q,
                              int q_stride,
                              const float* keys,
                              int capacity,
                              float* scores,
                              int slots,
                              int past,
                              int heads,
                              int group,
                              int head_dim) {
    __shared__ float tile[kBlock * kTileStride];
    const int row = blockIdx.x, t = row / heads, h = row % heads, s = threadIdx.x;
    const int here = smaller(kBlock, past + t + 1 - static_cast<int>(blockIdx.y) * kBlock);
    if (here <= 0) return;  // all of the tile is behind this token
    const float* query = q + static_cast<long long>(t) * q_stride + h * head_dim;
    const float* first = keys + (static_cast<long long>(h / group) * capacity +
                                 static_cast<long long>(blockIdx.y) * kBlock) *
                                    head_dim;
    float total = 0.0f;
    for (int begin = 0; begin < head_dim; begin += kBlock) {
        const int count = smaller(kBlock, head_dim - begin);
        copy_tile(first, head_dim, begin, count, here, tile);
        __syncthreads();
        if (s < here) {
            float block = 0.0f;
            for (int i = 0; i < count; ++i)
                block = fmaf(query[begin + i], tile[s * kTileStride + i], block);
            total = add_block(begin == 0, total, block);
        }
        __syncthreads();
    }
    if (s < here) scores[static_cast<long long>(row) * slots + blockIdx.y * kBlock + s] = total;
}

// As softmax_naive; a warp for each row. Grid (T * Hq), block 32.
__global__ void softmax_warp(float* scores, int slots, float* totals, int past, int heads) {
    const int row = blockIdx.x, lane = threadIdx.x, sees = past + row / heads + 1;
    float* of_row = scores + static_cast<long long>(row) * slots;
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
    const int tiles = (sees + kBlock - 1) / kBlock;
    for (int first = 0; first < tiles; first += 32) {
        const int begin = (first + lane) * kBlock;
        float mine = 0.0f;
        for (int s = begin; s < smaller(begin + kBlock, sees); ++s) mine = mine + of_row[s];
        for (int from = 0; from < smaller(32, tiles - first); ++from)
            total = add_block(first + from == 0, total, __shfl_sync(0xffffffffu, mine, from));
    }
    if (lane == 0) totals[row] = total;
}

}  // namespace kvlab::KVLAB_KERNELS
