// attention_tile.cuh - chapter 4: one tile of 64 slots, weighed for several queries at a time
// by a block of threads. The fused and the split kernel are made of it.
//
// The rows of a block are the query heads of one group, for one or more tokens: they share a KV
// head, whose tile is read from global memory once for all of them.
#pragma once

#include "contract.cuh"
#include "tile_sizes.hpp"

namespace kvlab::KVLAB_KERNELS {

// What a block of threads keeps in dynamic shared memory: tile_sizes.hpp counts it for the
// host.
struct TileRoom {
    float* tile;     // [64][65]: up to 64 components of the 64 slots' keys, or values
    float* queries;  // [rows][D]
    float* sums;     // [rows][D]
    float* weights;  // [rows][65]: scores, then weights
};

__device__ __forceinline__ TileRoom tile_room(float* shared, int rows, int head_dim) {
    float* const queries = shared + kBlock * kTileStride;
    float* const sums = queries + rows * head_dim;
    return {shared, queries, sums, sums + rows * head_dim};
}

// Which rows these are: row r is token (first + r) / group, head kv_head * group + (first + r)
// % group.
struct TileRows {
    int first, count, group, past;

    // Slots of a tile that row r sees: beyond 64, all; 0 or less, none.
    __device__ __forceinline__ int visible(int r, int tile) const {
        return smaller(kBlock, past + (first + r) / group + 1 - tile * kBlock);
    }
};

// Components [begin, begin + count) of `slots` keys or values, side by side in global memory,
// to rows of 65 floats: threads that are different slots then ask different banks.
__device__ __forceinline__ void copy_tile(
    const float* from, int head_dim, int begin, int count, int slots, float* tile) {
    for (int e = threadIdx.x; e < slots * count; e += blockDim.x)
        tile[e / count * kTileStride + e % count] =
            from[e / count * head_dim + begin + e % count];
}

// The largest n of a row's scores, and the weights relative to it, by one warp: two slots a
// lane. A maximum has no order, so lanes may exchange it as they like.
// ANCHOR: softmax
__device__ __forceinline__ float softmax_tile(float* weights, int visible) {
    const int lane = threadIdx.x % 32;
    const bool low = lane < visible, high = lane + 32 < visible;
    const Exp2Parts a = exp2_parts(low ? weights[lane] : weights[0]);
    const Exp2Parts b = exp2_parts(high ? weights[lane + 32] : weights[0]);
    float maximum = a.n > b.n ? a.n : b.n;
    for (int step = 16; step > 0; step /= 2) {
        const float other = __shfl_xor_sync(0xffffffffu, maximum, step);
        maximum = other > maximum ? other : maximum;
    }
    __syncwarp();  // all lanes have read weights[0]
    if (low) weights[lane] = a.p * pow2(a.n - maximum);
    if (high) weights[lane + 32] = b.p * pow2(b.n - maximum);
    return maximum;
}

// ANCHOR_END: softmax

// Weights of all rows for the slots of one tile; `keys` is its first slot's. maxima[r] is the
// largest n. Ends with a barrier.
__device__ inline void weigh_tile(const TileRoom& room,
                                  const TileRows& rows,
                                  int tile,
                                  int slots,
                                  const float* keys,
                                  int head_dim,
                                  float* maxima) {
    for (int begin = 0; begin < head_dim; begin += kBlock) {
        const int count = smaller(kBlock, head_dim - begin);
        copy_tile(keys, head_dim, begin, count, slots, room.tile);
        __syncthreads();
        for (int p = threadIdx.x; p < rows.count * kBlock; p += blockDim.x) {
            const int r = p / kBlock, s = p % kBlock;
            // Scores of slots that only later rows see are made, too, and not used: lanes that
            // skip an iteration would not have saved any time.
            if (s >= slots || rows.visible(r, tile) <= 0) continue;
            float block = 0.0f;
            for (int i = 0; i < count; ++i)
                block = fmaf(room.queries[r * head_dim + begin + i],
                             room.tile[s * kTileStride + i], block);
            float& score = room.weights[r * kTileStride + s];
            score = begin == 0 ? block : score + block;
        }
        __syncthreads();
    }
    for (int r = threadIdx.x / 32; r < rows.count; r += blockDim.x / 32) {
        const int visible = rows.visible(r, tile);
        if (visible <= 0) continue;
        const float maximum = softmax_tile(room.weights + r * kTileStride, visible);
        if (threadIdx.x % 32 == 0) maxima[r] = maximum;
    }
    __syncthreads();
}

// The sum of a row's weights of this tile: one chain (rule 2).
__device__ __forceinline__ float total_of(const float* weights, int visible) {
    float total = 0.0f;
    for (int s = 0; s < visible; ++s) total = total + weights[s];
    return total;
}

// Calls use(r, i, sum) with the weighted sum over the tile for each row r and component i;
// `values` is the tile's first slot's. Ends with a barrier.
template <class Use>
__device__ inline void sum_values(const TileRoom& room,
                                  const TileRows& rows,
                                  int tile,
                                  int slots,
                                  const float* values,
                                  int head_dim,
                                  Use use) {
    for (int begin = 0; begin < head_dim; begin += kBlock) {
        const int count = smaller(kBlock, head_dim - begin);
        copy_tile(values, head_dim, begin, count, slots, room.tile);
        __syncthreads();
        for (int p = threadIdx.x; p < rows.count * count; p += blockDim.x) {
            const int r = p / count, i = p % count, visible = rows.visible(r, tile);
            if (visible <= 0) continue;
            float block = 0.0f;
            for (int s = 0; s < visible; ++s)
                block = fmaf(room.weights[r * kTileStride + s], room.tile[s * kTileStride + i],
                             block);
            use(r, begin + i, block);
        }
        __syncthreads();
    }
}

// The rows' queries [T, Hq, D] to shared memory. The next barrier makes them visible.
__device__ __forceinline__ void copy_queries(const TileRoom& room,
                                             const TileRows& rows,
                                             const float* q,
                                             int q_stride,
                                             int kv_head,
                                             int head_dim) {
    for (int p = threadIdx.x; p < rows.count * head_dim; p += blockDim.x) {
        const int row = rows.first + p / head_dim;
        const int head = kv_head * rows.group + row % rows.group;
        room.queries[p] = q[static_cast<long long>(row / rows.group) * q_stride +
                            head * head_dim + p % head_dim];
    }
}

}  // namespace kvlab::KVLAB_KERNELS
