// attention_4_split.cu - chapter 4: decoding over a long cache: a block of threads
// for each tile.
//
// was           one block of threads per KV head walks over all tiles
// change        each tile has a block of its own, which leaves its maximum, its weights' sum
//               and its weighted values behind (split keys: Flash-Decoding, Dao et al. 2023);
//               a second kernel adds these in slot order
// why faster    a cache of 4096 slots keeps 64 blocks per KV head busy instead of one
// still bad     the parts go through global memory: D + 2 numbers for each row and tile,
//               against 128 D of the tile itself. A short cache has nothing to share out
//
// How the work is split never depends on the length: a part is a tile, always. Parts of
// another size would be other sums (rule 2), and a token's bits would change when
// the cache grows.
#include "attention_tile.cuh"

namespace kvlab::KVLAB_KERNELS {

// parts [Hkv][tiles][rows][D + 2]: the weighted values, the sum of the weights, the maximum.
// Grid (Hkv, tiles), block a multiple of 32; tile_bytes(rows, D) of dynamic shared memory. rows
// = T * group, at most 16.
// ANCHOR: split
__global__ void attention_parts(AttentionArgs args, float* parts) {
    KVLAB_DYNAMIC_SHARED(float, shared);
    __shared__ float maximum[kMostTileRows];
    const int kv_head = blockIdx.x, tile = blockIdx.y, D = args.head_dim, part = D + 2;
    const TileRows rows = {0, args.tokens * args.group, args.group, args.past};
    const TileScratch scratch = tile_scratch(shared, D);
    const int slots = smaller(kTile, args.slots - tile * kTile);
    const long long at = (static_cast<long long>(kv_head) * args.capacity +
                          static_cast<long long>(tile) * kTile) *
                         D;
    float* const mine =
        parts + (static_cast<long long>(kv_head) * args.tiles + tile) * rows.count * part;
    copy_queries(scratch, rows, args.q, kv_head, D);
    weigh_tile(scratch, rows, tile, slots, args.keys + at, D, maximum);
    if (const int r = threadIdx.x; r < rows.count && rows.visible(r, tile) > 0) {
        mine[r * part + D] = total_of(scratch, r, rows.visible(r, tile));
        mine[r * part + D + 1] = maximum[r];
    }
    sum_values(scratch, rows, tile, slots, args.values + at, D,
               [&](int r, int i, float sum) { mine[r * part + i] = sum; });
}

// Adds the parts of a row in slot order; a thread for each component. Grid (Hkv * rows), any
// block size.
__global__ void combine_parts(AttentionArgs args, const float* parts) {
    const int group = args.group, rows = args.tokens * group, D = args.head_dim, part = D + 2;
    const int kv_head = blockIdx.x / rows, r = blockIdx.x % rows, t = r / group;
    const int seen = (args.past + t) / kTile + 1;  // tiles with a slot that this row sees
    const float* of_row =
        parts + (static_cast<long long>(kv_head) * args.tiles * rows + r) * part;
    for (int i = threadIdx.x; i < D; i += blockDim.x) {
        float sum = 0.0f, total = 0.0f, maximum = 0.0f;
        // SOLUTION-BEGIN 4.6
        for (int tile = 0; tile < seen; ++tile) {
            const float* mine = of_row + static_cast<long long>(tile) * rows * part;
            const float before = tile == 0 ? mine[D + 1] : maximum;
            maximum = mine[D + 1] > before ? mine[D + 1] : before;
            const float old_factor = pow2(before - maximum);
            const float new_factor = pow2(mine[D + 1] - maximum);
            total = tile == 0 ? mine[D] : total * old_factor + mine[D] * new_factor;
            sum = tile == 0 ? mine[i] : sum * old_factor + mine[i] * new_factor;
        }
        // SOLUTION-END 4.6
        row(args.out, t)[(kv_head * group + r % group) * D + i] = sum / total;
    }
}

// ANCHOR_END: split

}  // namespace kvlab::KVLAB_KERNELS

#if KVLAB_HOST_CODE
KVLAB_LAUNCHABLE(attention_parts)
KVLAB_LAUNCHABLE(combine_parts)

namespace kvlab::kernels {

void launch_attention_split(const AttentionArgs& args, unsigned threads, Scratch& scratch) {
    const int rows = args.tokens * args.group;
    float* const parts =
        scratch.floats(Index{args.kv_heads} * args.tiles * rows * (args.head_dim + 2));
    launch(attention_parts, {groups(args.kv_heads, 1), groups(args.tiles, 1)}, threads,
           static_cast<std::size_t>(tile_bytes(rows, args.head_dim)), args, parts);
    launch(combine_parts, groups(Index{args.kv_heads} * rows, 1), component_threads(args), 0,
           args, parts);
}

}  // namespace kvlab::kernels
#endif
