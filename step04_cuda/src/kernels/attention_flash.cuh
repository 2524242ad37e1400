// attention_flash.cuh - chapter 4: the two products of attention, 4 x 4 numbers per thread, and
// the softmax between them, for rows (token, head of the group) that share a KV head.
//
// Rows 4 y ... 4 y + 3 belong to the 16 threads 16 y + x, half a warp: it keeps their maxima
// and their sums in registers, and nobody else ever asks for their weights.
#pragma once

#include "attention_tile.cuh"

namespace kvlab::KVLAB_KERNELS {

constexpr int kHalfWarp = 16;
constexpr float kLowest = -0x1.fffffep127f;  // below every exponent

// Where number i of row r lies in rows of 64 floats. Groups of four are exchanged by the row's
// last three bits. So eight threads find all 32 banks whether they read four numbers of
// eight rows or eight groups of one row, and no row needs a gap behind it.
// ANCHOR: place
__device__ __forceinline__ int place(int r, int i) {
    return r * kTile + ((i / kFour ^ r % 8) * kFour + i % kFour);
}

// ANCHOR_END: place

// Slots that row r of the step sees, from slot 0 on; 0 if there is no such row.
__device__ __forceinline__ int slots_seen(const AttentionArgs& args, int r) {
    return r < args.tokens * args.group ? args.past + r / args.group + 1 : 0;
}

// The rows of one thread.
struct FlashRows {
    int first, x;     // its first row in the block; its number in the half warp
    int sees[kFour];  // slots that each row sees
    int x_sees;       // that row `first + x` sees, whose weights thread x < 4 adds

    __device__ __forceinline__ int visible(int j, int tile) const {
        return smaller(kTile, sees[j] - tile * kTile);
    }
};

// Those of this thread, in a block whose first row is `first`.
__device__ __forceinline__ FlashRows flash_rows(const AttentionArgs& args, int first) {
    const int mine = threadIdx.x / kHalfWarp * kFour, x = threadIdx.x % kHalfWarp;
    FlashRows rows = {mine, x, {}, slots_seen(args, first + mine + smaller(x, kFour - 1))};
#pragma unroll
    for (int j = 0; j < kFour; ++j) rows.sees[j] = slots_seen(args, first + mine + j);
    return rows;
}

// What has been summed so far of the thread's rows, relative to the largest exponent so far.
struct FlashSums {
    float maximum[kFour];
    float old_factor[kFour];  // that takes what was summed before the tile to its exponent
    float total, x_factor;    // of row `first + x`, in threads x < 4
};

// Scores of slots x, x + 16, x + 32, x + 48: chains over `count` components, 64 fma for eight
// reads of four numbers. What is there already is added to, unless this piece is the first.
// ANCHOR: scores
__device__ __forceinline__ void score_piece(const float* queries,
                                            const float* keys,
                                            const FlashRows& rows,
                                            int count,
                                            bool first,
                                            float (&scores)[kFour][kFour]) {
    float block[kFour][kFour] = {};
    for (int i = 0; i < count; i += kFour) {
        float4 key[kFour];
#pragma unroll
        for (int l = 0; l < kFour; ++l)
            key[l] = four_of(keys + place(rows.x + kHalfWarp * l, i));
#pragma unroll
        for (int j = 0; j < kFour; ++j) {
            const float4 query = four_of(queries + place(rows.first + j, i));
#pragma unroll
            for (int l = 0; l < kFour; ++l) block[j][l] = dot(query, key[l], block[j][l]);
        }
    }
#pragma unroll
    for (int j = 0; j < kFour; ++j)
#pragma unroll
        for (int l = 0; l < kFour; ++l)
            scores[j][l] = add_block(first, scores[j][l], block[j][l]);
}

// ANCHOR_END: scores

// The sums of the tile's weights: a chain for each row, by four threads of the half warp.
__device__ __forceinline__ void sum_weights(const FlashRows& rows,
                                            int tile,
                                            const float* weights,
                                            FlashSums& sums) {
    const int visible = smaller(kTile, rows.x_sees - tile * kTile);
    float total = 0.0f;
    for (int s = 0; s < visible; ++s) total = total + weights[place(rows.first + rows.x, s)];
    if (visible > 0) sums.total = tile == 0 ? total : sums.total * sums.x_factor + total;
}

// The tile's weights, relative to the largest exponent so far, to `weights`, and what that
// means for the sums of earlier tiles. Between the last use of the weights and this call there
// was a barrier; at its end the half warp sees its own.
// ANCHOR: softmax
__device__ __forceinline__ void weigh_scores(const float (&scores)[kFour][kFour],
                                             const FlashRows& rows,
                                             int tile,
                                             float* weights,
                                             FlashSums& sums) {
#pragma unroll
    for (int j = 0; j < kFour; ++j) {
        const int visible = rows.visible(j, tile);
        Exp2Parts parts[kFour];
        float now = tile == 0 ? kLowest : sums.maximum[j];
#pragma unroll
        for (int l = 0; l < kFour; ++l) {
            parts[l] = exp2_parts(scores[j][l]);
            if (rows.x + kHalfWarp * l < visible && parts[l].n > now) now = parts[l].n;
        }
        now = largest_of(now, kHalfWarp);
        const float factor = pow2(sums.maximum[j] - now);
        sums.old_factor[j] = factor;
        sums.maximum[j] = now;
        if (rows.x == j) sums.x_factor = factor;
#pragma unroll
        for (int l = 0; l < kFour; ++l) {
            const int s = rows.x + kHalfWarp * l;
            weights[place(rows.first + j, s)] =
                s < visible ? parts[l].p * pow2(parts[l].n - now) : 0.0f;
        }
    }
    __syncwarp();
    if (rows.x < kFour) sum_weights(rows, tile, weights, sums);
}

// ANCHOR_END: softmax

// Adds the tile's values, components 4 x ... 4 x + 3 of the piece, to `all`: chains over the
// slots that a row sees; 64 fma for eight reads of four numbers. kWhole: each row sees all 64.
// ANCHOR: values
template <bool kWhole>
__device__ __forceinline__ void value_piece(const float* weights,
                                            const float* values,
                                            const FlashRows& rows,
                                            int tile,
                                            int slots,
                                            const FlashSums& sums,
                                            float4 (&all)[kFour]) {
    float4 block[kFour];
#pragma unroll
    for (int j = 0; j < kFour; ++j) block[j] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    for (int begin = 0; begin < slots; begin += kFour) {
        float4 value[kFour];
#pragma unroll
        for (int l = 0; l < kFour; ++l)
            value[l] = four_of(values + place(begin + l, rows.x * kFour));
#pragma unroll
        for (int j = 0; j < kFour; ++j) {
            const float4 four = four_of(weights + place(rows.first + j, begin));
            const float weight[kFour] = {four.x, four.y, four.z, four.w};
#pragma unroll
            for (int l = 0; l < kFour; ++l) {
                // A slot that a row does not see is not added, not even with weight 0.
                if (!kWhole && begin + l >= rows.visible(j, tile)) continue;
                block[j].x = fmaf(weight[l], value[l].x, block[j].x);
                block[j].y = fmaf(weight[l], value[l].y, block[j].y);
                block[j].z = fmaf(weight[l], value[l].z, block[j].z);
                block[j].w = fmaf(weight[l], value[l].w, block[j].w);
            }
        }
    }
#pragma unroll
    for (int j = 0; j < kFour; ++j) {
        const float factor = sums.old_factor[j];
        if (tile == 0)
            all[j] = block[j];
        else if (kWhole || rows.visible(j, tile) > 0)
            all[j] =
                make_float4(all[j].x * factor + block[j].x, all[j].y * factor + block[j].y,
                            all[j].z * factor + block[j].z, all[j].w * factor + block[j].w);
    }
}

// ANCHOR_END: values

}  // namespace kvlab::KVLAB_KERNELS
