// attention_3_fused.cu - chapter 4: attention in one kernel; a KV head is read once
// for its group.
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
__global__ void attention_fused(AttentionArgs args, int rows_per_block) {
    KVLAB_DYNAMIC_SHARED(float, shared);
    __shared__ float tile_maximum[kMostTileRows], maximum[kMostTileRows], total[kMostTileRows];
    __shared__ float old_factor[kMostTileRows], new_factor[kMostTileRows];
    const int kv_head = blockIdx.x, first = blockIdx.y * rows_per_block;
    const int group = args.group, D = args.head_dim;
    const TileRows rows = {first, smaller(rows_per_block, args.tokens * group - first), group,
                           args.past};
    const TileScratch scratch = tile_scratch(shared, D);
    const long long head = static_cast<long long>(kv_head) * args.capacity * D;
    copy_queries(scratch, rows, args.q, kv_head, D);
    // Slots that the last row sees.
    const int end = args.past + (first + rows.count - 1) / group + 1;
    for (int tile = 0; tile * kTile < end; ++tile) {
        const int slots = smaller(kTile, end - tile * kTile);
        const long long at = head + static_cast<long long>(tile) * kTile * D;
        weigh_tile(scratch, rows, tile, slots, args.keys + at, D, tile_maximum);
        if (const int r = threadIdx.x; r < rows.count && rows.visible(r, tile) > 0) {
            const float tile_total = total_of(scratch, r, rows.visible(r, tile));
            // SOLUTION-BEGIN 4.5
            const float before = tile == 0 ? tile_maximum[r] : maximum[r];
            const float now = tile_maximum[r] > before ? tile_maximum[r] : before;
            maximum[r] = now;
            old_factor[r] = pow2(before - now);
            new_factor[r] = pow2(tile_maximum[r] - now);
            total[r] =
                tile == 0 ? tile_total : total[r] * old_factor[r] + tile_total * new_factor[r];
            // SOLUTION-END 4.5
        }
        // sum_values begins with a barrier: then all threads see the factors.
        sum_values(scratch, rows, tile, slots, args.values + at, D,
                   [&](int r, int i, float sum) {
                       // SOLUTION-BEGIN 4.5
                       float& all = scratch.sums[r * D + i];
                       all = tile == 0 ? sum : all * old_factor[r] + sum * new_factor[r];
                       // SOLUTION-END 4.5
                   });
    }
    for (int p = threadIdx.x; p < rows.count * D; p += blockDim.x) {
        const int r = p / D, h = kv_head * group + (first + r) % group;
        row(args.out, (first + r) / group)[h * D + p % D] = scratch.sums[p] / total[r];
    }
}

// ANCHOR_END: fused

}  // namespace kvlab::KVLAB_KERNELS

#if KVLAB_HOST_CODE
KVLAB_LAUNCHABLE(attention_fused)

namespace kvlab::kernels {

namespace {

// As many rows as share a tile with profit and fit in shared memory.
int rows_per_block(const AttentionArgs& args) {
    int rows = std::min(kMostTileRows, args.tokens * args.group);
    while (rows > 1 && tile_bytes(rows, args.head_dim) > static_cast<int>(kSharedLimit) - 1024)
        rows /= 2;
    return rows;
}

}  // namespace

void launch_attention_fused(const AttentionArgs& args, unsigned threads, Scratch&) {
    const int rows = rows_per_block(args);
    launch(attention_fused,
           {groups(args.kv_heads, 1), groups(Index{args.tokens} * args.group, rows)}, threads,
           static_cast<std::size_t>(tile_bytes(rows, args.head_dim)), args, rows);
}

}  // namespace kvlab::kernels
#endif
