// attention_4_split.cu - chapter 4: decoding over a long cache: a block of threads for each
// tile.
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
// another size would be other sums (rule 2), and a token's bits would change when the cache
// grows.
#include "attention_tile.cuh"

namespace kvlab::KVLAB_KERNELS {

// parts [Hkv][tiles][rows][D + 2]: the weighted values, the sum of the weights, the maximum.
// Grid (Hkv, tiles), block a multiple of 32; tile_bytes(rows, D) of dynamic shared memory. rows
// = T * group, at most 16.
// ANCHOR: split
__global__ void attention_parts(const float* q,
                                int q_stride,
                                const float* keys,
                                const float* values,
                                int capacity,
                                float* parts,
                                int past,
                                int tokens,
                                int group,
                                int head_dim) {
    KVLAB_DYNAMIC_SHARED(float, shared);
    __shared__ float maximum[kMostTileRows];
    const int kv_head = blockIdx.x, tile = blockIdx.y;
    const TileRows rows = {0, tokens * group, group, past};
    const TileRoom room = tile_room(shared, head_dim);
    const int slots = smaller(kBlock, past + tokens - tile * kBlock);
    const long long at =
        (static_cast<long long>(kv_head) * capacity + static_cast<long long>(tile) * kBlock) *
        head_dim;
    const int part = head_dim + 2;
    float* const mine =
        parts + (static_cast<long long>(kv_head) * gridDim.y + tile) * rows.count * part;
    copy_queries(room, rows, q, q_stride, kv_head, head_dim);
    weigh_tile(room, rows, tile, slots, keys + at, head_dim, maximum);
    if (const int r = threadIdx.x; r < rows.count && rows.visible(r, tile) > 0) {
        mine[r * part + head_dim] = total_of(room, r, rows.visible(r, tile));
        mine[r * part + head_dim + 1] = maximum[r];
    }
    sum_values(room, rows, tile, slots, values + at, head_dim,
               [&](int r, int i, float sum) { mine[r * part + i] = sum; });
}

// Adds the parts of a row in slot order; a thread for each component. Grid (Hkv * rows), any
// block size.
__global__ void combine_parts(const float* parts,
                              int tiles,
                              float* out,
                              int out_stride,
                              int past,
                              int rows,
                              int group,
                              int head_dim) {
    const int kv_head = blockIdx.x / rows, r = blockIdx.x % rows, t = r / group;
    const int seen = (past + t) / kBlock + 1;  // tiles with a slot that this row sees
    const int part = head_dim + 2;
    const float* of_row = parts + (static_cast<long long>(kv_head) * tiles * rows + r) * part;
    for (int i = threadIdx.x; i < head_dim; i += blockDim.x) {
        float sum = 0.0f, total = 0.0f, maximum = 0.0f;
        for (int tile = 0; tile < seen; ++tile) {
            const float* mine = of_row + static_cast<long long>(tile) * rows * part;
            const float before = tile == 0 ? mine[head_dim + 1] : maximum;
            maximum = mine[head_dim + 1] > before ? mine[head_dim + 1] : before;
            const float old_factor = pow2(before - maximum);
            const float new_factor = pow2(mine[head_dim + 1] - maximum);
            total =
                tile == 0 ? mine[head_dim] : total * old_factor + mine[head_dim] * new_factor;
            sum = tile == 0 ? mine[i] : sum * old_factor + mine[i] * new_factor;
        }
        out[static_cast<long long>(t) * out_stride + (kv_head * group + r % group) * head_dim +
            i] = sum / total;
    }
}

// ANCHOR_END: split

}  // namespace kvlab::KVLAB_KERNELS
