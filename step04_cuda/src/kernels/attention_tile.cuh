// attention_tile.cuh - chapter 4: one tile of 64 slots, weighed for several queries at a time
// by a block of threads. The fused and the split kernel are made of it.
//
// The rows of a block are the query heads of one group, for one or more tokens: they share a KV
// head, whose tile is read from global memory once for all of them.
#pragma once

#include "contract.cuh"

namespace kvlab::KVLAB_KERNELS {

constexpr int kFour = 4;  // rows that a thread computes at a time, in registers

// What a block of threads keeps in dynamic shared memory: sizes.hpp counts it for the
// host. The rows of queries and weights lie side by side, so that one read (float4) gets four
// of them.
struct TileScratch {
    float* tile;     // [64][65]: up to 64 components of the 64 slots' keys, or values
    float* queries;  // [D][16]
    float* weights;  // [64][20]: scores, then weights
    float* sums;     // [rows][D]
};

__device__ __forceinline__ TileScratch tile_scratch(float* shared, int head_dim) {
    float* const queries = shared + kTile * kTileStride;
    float* const weights = queries + head_dim * kMostTileRows;
    return {shared, queries, weights, weights + kTile * kWeightStride};
}

// Which rows these are: row r is token (first + r) / group, head kv_head * group + (first + r)
// % group.
struct TileRows {
    int first, count, group, past;

    __device__ __forceinline__ int fours() const { return (count + kFour - 1) / kFour; }

    // Slots of a tile that row r sees: 64, all; 0 or less, none. A row behind the
    // last sees none.
    __device__ __forceinline__ int visible(int r, int tile) const {
        return r >= count ? 0 : smaller(kTile, past + (first + r) / group + 1 - tile * kTile);
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

// The largest n of a row's 64 scores, `apart` floats from slot to slot, and the weights
// relative to it, by one warp: two slots a lane. A maximum has no order, so lanes may exchange
// it as they like.
// ANCHOR: softmax
__device__ __forceinline__ float softmax_tile(float* row, int apart, int visible) {
    const int lane = threadIdx.x % 32;
    const bool low = lane < visible, high = lane + 32 < visible;
    float& first = row[(low ? lane : 0) * apart];
    float& second = row[(high ? lane + 32 : 0) * apart];
    const Exp2Parts a = exp2_parts(first), b = exp2_parts(second);
    float maximum = a.n > b.n ? a.n : b.n;
    for (int step = 16; step > 0; step /= 2) {
        const float other = __shfl_xor_sync(0xffffffffu, maximum, step);
        maximum = other > maximum ? other : maximum;
    }
    __syncwarp();  // all lanes have read slot 0
    if (low) first = a.p * pow2(a.n - maximum);
    if (high) second = b.p * pow2(b.n - maximum);
    return maximum;
}

// ANCHOR_END: softmax

__device__ __forceinline__ float4 four_of(const float* shared) {
    return *reinterpret_cast<const float4*>(shared);
}

// A chain of four more terms.
__device__ __forceinline__ float dot(const float4& a, const float4& b, float sum) {
    sum = fmaf(a.x, b.x, sum);
    sum = fmaf(a.y, b.y, sum);
    sum = fmaf(a.z, b.z, sum);
    return fmaf(a.w, b.w, sum);
}

// Weights of all rows for the slots of one tile; `keys` is its first slot's. maxima[r] is the
// largest n. Ends with a barrier.
// ANCHOR: weigh
__device__ inline void weigh_tile(const TileScratch& scratch,
                                  const TileRows& rows,
                                  int tile,
                                  int slots,
                                  const float* keys,
                                  int head_dim,
                                  float* maxima) {
    for (int begin = 0; begin < head_dim; begin += kSumBlock) {
        const int count = smaller(kSumBlock, head_dim - begin);
        copy_tile(keys, head_dim, begin, count, slots, scratch.tile);
        __syncthreads();
        // A thread has one slot and four rows: two reads for four fma. Scores of slots that
        // only later rows see are made, too, and not used.
        for (int p = threadIdx.x; p < rows.fours() * kTile; p += blockDim.x) {
            const int r = p / kTile * kFour, s = p % kTile;
            if (s >= slots) continue;
            float4 block = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
            for (int i = 0; i < count; ++i) {
                const float key = scratch.tile[s * kTileStride + i];
                const float4 q = four_of(scratch.queries + (begin + i) * kMostTileRows + r);
                block.x = fmaf(q.x, key, block.x);
                block.y = fmaf(q.y, key, block.y);
                block.z = fmaf(q.z, key, block.z);
                block.w = fmaf(q.w, key, block.w);
            }
            float4& scores =
                *reinterpret_cast<float4*>(scratch.weights + s * kWeightStride + r);
            if (begin > 0) {
                const float4 total = scores;
                block = make_float4(total.x + block.x, total.y + block.y, total.z + block.z,
                                    total.w + block.w);
            }
            scores = block;
        }
        __syncthreads();
    }
    for (int r = threadIdx.x / 32; r < rows.count; r += blockDim.x / 32) {
        const int visible = rows.visible(r, tile);
        if (visible <= 0) continue;
        const float maximum = softmax_tile(scratch.weights + r, kWeightStride, visible);
        if (threadIdx.x % 32 == 0) maxima[r] = maximum;
    }
    __syncthreads();
}

// ANCHOR_END: weigh

// The sum of row r's weights of this tile: one chain (rule 2).
__device__ __forceinline__ float total_of(const TileScratch& scratch, int r, int visible) {
    float total = 0.0f;
    for (int s = 0; s < visible; ++s) total = total + scratch.weights[s * kWeightStride + r];
    return total;
}

// Calls use(r, i, sum) with the weighted sum over the tile for each row r and component i;
// `values` is the tile's first slot's. There is a barrier before the first use, and one
// at the end.
template <class Use>
__device__ inline void sum_values(const TileScratch& scratch,
                                  const TileRows& rows,
                                  int tile,
                                  int slots,
                                  const float* values,
                                  int head_dim,
                                  Use use) {
    for (int begin = 0; begin < head_dim; begin += kSumBlock) {
        const int count = smaller(kSumBlock, head_dim - begin);
        copy_tile(values, head_dim, begin, count, slots, scratch.tile);
        __syncthreads();
        for (int p = threadIdx.x; p < rows.fours() * count; p += blockDim.x) {
            const int r = p / count * kFour, i = p % count;
            int visible[kFour];
#pragma unroll
            for (int j = 0; j < kFour; ++j) visible[j] = rows.visible(r + j, tile);
            float block[kFour] = {};
            for (int s = 0; s < slots; ++s) {
                const float value = scratch.tile[s * kTileStride + i];
                const float4 weight = four_of(scratch.weights + s * kWeightStride + r);
                // A slot that a row does not see is not added, not even with weight 0.
                if (s < visible[0]) block[0] = fmaf(weight.x, value, block[0]);
                if (s < visible[1]) block[1] = fmaf(weight.y, value, block[1]);
                if (s < visible[2]) block[2] = fmaf(weight.z, value, block[2]);
                if (s < visible[3]) block[3] = fmaf(weight.w, value, block[3]);
            }
#pragma unroll
            for (int j = 0; j < kFour; ++j)
                if (visible[j] > 0) use(r + j, begin + i, block[j]);
        }
        __syncthreads();
    }
}

// The rows' queries [T, Hq, D] to shared memory, and zeros up to the next multiple of four. The
// next barrier makes them visible.
__device__ __forceinline__ void copy_queries(const TileScratch& scratch,
                                             const TileRows& rows,
                                             const ConstRows& q,
                                             int kv_head,
                                             int head_dim) {
    for (int p = threadIdx.x; p < rows.fours() * kFour * head_dim; p += blockDim.x) {
        const int r = p / head_dim, i = p % head_dim, t = (rows.first + r) / rows.group;
        const int h = kv_head * rows.group + (rows.first + r) % rows.group;
        scratch.queries[i * kMostTileRows + r] =
            r < rows.count ? row(q, t)[h * head_dim + i] : 0.0f;
    }
}

}  // namespace kvlab::KVLAB_KERNELS
