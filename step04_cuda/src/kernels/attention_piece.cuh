// attention_piece.cuh - chapter 4: one tile of 64 slots for up to 16 rows, as
// attention_tile.cuh has it, by 128 threads that load four numbers at a time and have many
// loads under way.
//
// head_dim is a multiple of four; then each slot begins at a multiple of 16 bytes.
#pragma once

#include "attention_tile.cuh"

namespace kvlab::KVLAB_KERNELS {

// A piece: 64 slots of up to 64 components, of keys or of values. 16 threads load what is of
// one slot, so 128 threads load 8 slots at a time, and each thread has 8 loads.
constexpr int kColumns = kSumBlock / kWide;
constexpr int kSlotsAtOnce = kVectorThreads / kColumns;
constexpr int kLoads = kTile / kSlotsAtOnce;

// What the block keeps in dynamic shared memory: sizes.hpp counts it. In rows of 68 floats,
// eight threads that read four numbers of eight slots ask all 32 banks.
struct PieceScratch {
    float* tile;     // [64][68]
    float* weights;  // [rows][68]: scores, then weights
    float* queries;  // [rows][D]; the number of rows is made a multiple of four, by zeros
};

__device__ __forceinline__ PieceScratch piece_scratch(float* shared, int rows) {
    float* const weights = shared + kTile * kWideStride;
    return {shared, weights, weights + (rows + 3) / 4 * 4 * kWideStride};
}

// `from` is the first slot's first component of `count`. What lies behind the last slot or
// component is not there to be read: a thread whose share it is reads what is last once more,
// which costs less than a branch in front of each load.
// ANCHOR: load
__device__ __forceinline__ void load_piece(
    const float* from, int head_dim, int count, int slots, float4 (&piece)[kLoads]) {
    const int first = threadIdx.x / kColumns;
    from += smaller(threadIdx.x % kColumns * kWide, count - kWide);
#pragma unroll
    for (int j = 0; j < kLoads; ++j)
        piece[j] = four_of(from + smaller(first + j * kSlotsAtOnce, slots - 1) * head_dim);
}

__device__ __forceinline__ void store_piece(const float4 (&piece)[kLoads], float* tile) {
    const int i = threadIdx.x % kColumns * kWide, first = threadIdx.x / kColumns;
#pragma unroll
    for (int j = 0; j < kLoads; ++j)
        *reinterpret_cast<float4*>(tile + (first + j * kSlotsAtOnce) * kWideStride + i) =
            piece[j];
}

// ANCHOR_END: load

// The rows' queries, [T, Hq, D] in global memory. The next barrier makes them visible.
__device__ __forceinline__ void copy_rows(const PieceScratch& scratch,
                                          const TileRows& rows,
                                          const ConstRows& q,
                                          int kv_head,
                                          int head_dim) {
    for (int r = 0; r < rows.fours() * kFour; ++r) {
        const float* query =
            row(q, r / rows.group) + (kv_head * rows.group + r % rows.group) * head_dim;
        for (int i = threadIdx.x; i < head_dim; i += kVectorThreads)
            scratch.queries[r * head_dim + i] = r < rows.count ? query[i] : 0.0f;
    }
}

// Adds the chain of components [begin, begin + count) to the scores. A thread has one slot and
// four rows: five reads of four numbers for sixteen fma.
__device__ __forceinline__ void add_scores(
    const PieceScratch& scratch, int rows, int head_dim, int begin, int count) {
    const int s = threadIdx.x % kTile;
    for (int r = threadIdx.x / kTile * kFour; r < rows; r += kVectorThreads / kTile * kFour) {
        const float* query = scratch.queries + r * head_dim + begin;
        float sums[kFour] = {};
#pragma unroll 1  // more would spill
        for (int i = 0; i < count; i += kWide) {
            const float4 key = four_of(scratch.tile + s * kWideStride + i);
#pragma unroll
            for (int j = 0; j < kFour; ++j)
                sums[j] = dot(four_of(query + j * head_dim + i), key, sums[j]);
        }
#pragma unroll
        for (int j = 0; j < kFour; ++j) {
            float& score = scratch.weights[(r + j) * kWideStride + s];
            score = begin == 0 ? sums[j] : score + sums[j];
        }
    }
}

// Each row's scores to weights, by a warp; maxima[r * stride] is the largest exponent.
__device__ __forceinline__ void softmax_rows(
    const PieceScratch& scratch, const TileRows& rows, int tile, float* maxima, int stride) {
    for (int r = threadIdx.x / 32; r < rows.count; r += kVectorThreads / 32) {
        const int visible = rows.visible(r, tile);
        if (visible <= 0) continue;
        const float maximum = softmax_tile(scratch.weights + r * kWideStride, 1, visible);
        if (threadIdx.x % 32 == 0) maxima[r * stride] = maximum;
    }
}

// Calls use(r, i, sum, total) for each row that sees a slot of the tile and each of the piece's
// components i: the weighted sum, and the sum of the weights. That is a second chain beside
// the first, so it takes no time of its own. A thread has one component and four rows.
template <class Use>
__device__ __forceinline__ void weigh_values(const PieceScratch& scratch,
                                             const TileRows& rows,
                                             int tile,
                                             int slots,
                                             int count,
                                             Use use) {
    const int i = threadIdx.x % kTile;
    if (i >= count) return;
    for (int r = threadIdx.x / kTile * kFour; r < rows.count;
         r += kVectorThreads / kTile * kFour) {
        int visible[kFour];
        float sum[kFour] = {}, total[kFour] = {};
#pragma unroll
        for (int j = 0; j < kFour; ++j) visible[j] = rows.visible(r + j, tile);
#pragma unroll 1  // more would spill
        for (int begin = 0; begin < slots; begin += kWide) {
            float value[kWide];
#pragma unroll
            for (int l = 0; l < kWide; ++l)
                value[l] = scratch.tile[(begin + l) * kWideStride + i];
#pragma unroll
            for (int j = 0; j < kFour; ++j) {
                const float4 four = four_of(scratch.weights + (r + j) * kWideStride + begin);
                const float weights[kWide] = {four.x, four.y, four.z, four.w};
#pragma unroll
                for (int l = 0; l < kWide; ++l) {
                    const bool seen = begin + l < visible[j];
                    if (seen) sum[j] = fmaf(weights[l], value[l], sum[j]);
                    if (seen) total[j] = total[j] + weights[l];
                }
            }
        }
#pragma unroll
        for (int j = 0; j < kFour; ++j)
            if (visible[j] > 0) use(r + j, i, sum[j], total[j]);
    }
}

// What one tile leaves of the rows, whose numbers in `parts` are `row` and those after it;
// `keys` and `values` are its first slot's. The keys' pieces come first, then the values'; two
// are under way at a time, and queries() is called while the first two are. All threads of the
// block call it, but only its first kVectorThreads work. It ends with a barrier.
// ANCHOR: pieces
template <class Queries>
__device__ __forceinline__ void weigh_pieces(const PieceScratch& scratch,
                                             const TileRows& rows,
                                             int tile,
                                             int slots,
                                             const float* keys,
                                             const float* values,
                                             int head_dim,
                                             const TileParts& parts,
                                             int row,
                                             bool works,
                                             Queries queries) {
    const int half = (head_dim + kSumBlock - 1) / kSumBlock;
    const long long first = static_cast<long long>(row) * parts.stride + tile;
    float* const sums =
        parts.sums + (static_cast<long long>(row) * parts.tiles + tile) * head_dim;
    float4 now[kLoads] = {}, next[kLoads] = {};
    const auto load = [&](int p, float4(&piece)[kLoads]) {
        const int begin = p % half * kSumBlock;
        load_piece((p < half ? keys : values) + begin, head_dim,
                   smaller(kSumBlock, head_dim - begin), slots, piece);
    };
    if (works) {
        load(0, now);
        load(1, next);
        queries();
    }
    for (int p = 0; p < 2 * half; ++p) {
        const int begin = p % half * kSumBlock, count = smaller(kSumBlock, head_dim - begin);
        if (works) {
            store_piece(now, scratch.tile);
#pragma unroll
            for (int j = 0; j < kLoads; ++j) now[j] = next[j];
            if (p + 2 < 2 * half) load(p + 2, next);
            if (p == half)
                softmax_rows(scratch, rows, tile, parts.maxima + first, parts.stride);
        }
        __syncthreads();
        if (works && p < half)
            add_scores(scratch, rows.count, head_dim, begin, count);
        else if (works)
            weigh_values(
                scratch, rows, tile, slots, count, [&](int r, int i, float sum, float total) {
                    sums[static_cast<long long>(r) * parts.tiles * head_dim + begin + i] = sum;
                    if (begin + i == 0) parts.totals[first + r * parts.stride] = total;
                });
        __syncthreads();
    }
}

// ANCHOR_END: pieces

}  // namespace kvlab::KVLAB_KERNELS
