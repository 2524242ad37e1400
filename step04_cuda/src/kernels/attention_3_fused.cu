// attention_3_fused.cu - chapter 4: attention in one kernel; a KV head is read once for its
// group.
//
// was           three kernels, and scores in global memory
// change        a block of threads takes up to 16 rows that share a KV head and goes over the
//               tiles once. Scores and weights stay in shared memory, four rows at a time in
//               registers, as in linear_5_registers. The maximum so far grows as tiles come
//               (online softmax: Milakov and Gimelshein 2018; FlashAttention: Dao et al.
//               2022); what was summed before is then scaled by a power of two, which is exact
// why faster    keys and values move once for all heads of the group and, in a prompt, for
//               several tokens; scores do not move at all
// still bad     decoding has one row per query head, so there are as many blocks as KV heads:
//               three for SmolLM2, on a machine that runs hundreds
#include "attention_tile.cuh"

namespace kvlab::KVLAB_KERNELS {

// Grid (Hkv, T * group / rows_per_block), block a multiple of 32; tile_bytes(rows_per_block, D)
// of dynamic shared memory.
// ANCHOR: fused
__global__ void attention_fused(const float* q,
                                int q_stride,
                                const float* keys,
                                const float* values,
                                int capacity,
                                float* out,
                                int out_stride,
                                int past,
                                int tokens,
                                int group,
                                int head_dim,
                                int rows_per_block) {
    KVLAB_DYNAMIC_SHARED(float, shared);
    __shared__ float tile_maximum[kMostTileRows], maximum[kMostTileRows], total[kMostTileRows];
    __shared__ float old_factor[kMostTileRows], new_factor[kMostTileRows];
    const int kv_head = blockIdx.x, first = blockIdx.y * rows_per_block;
    const TileRows rows = {first, smaller(rows_per_block, tokens * group - first), group, past};
    const TileRoom room = tile_room(shared, head_dim);
    const long long head = static_cast<long long>(kv_head) * capacity * head_dim;
    copy_queries(room, rows, q, q_stride, kv_head, head_dim);
    const int end =
        past + (first + rows.count - 1) / group + 1;  // slots that the last row sees
    for (int tile = 0; tile * kBlock < end; ++tile) {
        const int slots = smaller(kBlock, end - tile * kBlock);
        const long long at = head + static_cast<long long>(tile) * kBlock * head_dim;
        weigh_tile(room, rows, tile, slots, keys + at, head_dim, tile_maximum);
        if (const int r = threadIdx.x; r < rows.count && rows.visible(r, tile) > 0) {
            const float tile_total = total_of(room, r, rows.visible(r, tile));
            const float before = tile == 0 ? tile_maximum[r] : maximum[r];
            const float now = tile_maximum[r] > before ? tile_maximum[r] : before;
            maximum[r] = now;
            old_factor[r] = pow2(before - now);
            new_factor[r] = pow2(tile_maximum[r] - now);
            total[r] =
                tile == 0 ? tile_total : total[r] * old_factor[r] + tile_total * new_factor[r];
        }
        // sum_values begins with a barrier: then all threads see the factors.
        sum_values(room, rows, tile, slots, values + at, head_dim,
                   [&](int r, int i, float sum) {
                       float& all = room.sums[r * head_dim + i];
                       all = tile == 0 ? sum : all * old_factor[r] + sum * new_factor[r];
                   });
    }
    for (int p = threadIdx.x; p < rows.count * head_dim; p += blockDim.x) {
        const int r = p / head_dim, row = first + r;
        out[static_cast<long long>(row / group) * out_stride +
            (kv_head * group + row % group) * head_dim + p % head_dim] =
            room.sums[p] / total[r];
    }
}

// ANCHOR_END: fused

}  // namespace kvlab::KVLAB_KERNELS
