// attention_5_vector.cu - chapter 4: split keys again, for a memory that is far away.
//
// was           a block of threads per tile that copies number by number: an integer division
//               and a wait for global memory for every 128 numbers, 32 waits for a tile's keys
// change        a thread loads four numbers at a time, eight times, and only then stores the
//               first of them. Keys and values set out together: the values travel while scores
//               are made. The parts are combined by warps that make each tile's factor once
// why faster    a block waits for memory once instead of 64 times, and has 32 KB under way
//               while it does. That pays from the second tile on
// still bad     what is under way sits in registers, 64 of each thread's; and 16 rows at a time
//               are few for a prompt, which has hundreds
#include "attention_combine.cuh"
#include "attention_piece.cuh"

namespace kvlab::KVLAB_KERNELS {

// Grid (Hkv, tiles), block 128; piece_bytes(rows, D) of dynamic shared memory. rows = T *
// group, at most 16; D a multiple of four.
// ANCHOR: vector
__global__ void __launch_bounds__(kVectorThreads)
    attention_vector(AttentionArgs args, TileParts parts) {
    KVLAB_DYNAMIC_SHARED(float, shared);
    const int kv_head = blockIdx.x, tile = blockIdx.y, D = args.head_dim;
    const TileRows rows = {0, args.tokens * args.group, args.group, args.past};
    const PieceScratch scratch = piece_scratch(shared, rows.count);
    const long long at = (static_cast<long long>(kv_head) * args.capacity +
                          static_cast<long long>(tile) * kTile) *
                         D;
    weigh_pieces(scratch, rows, tile, smaller(kTile, args.slots - tile * kTile), args.keys + at,
                 args.values + at, D, parts, kv_head * rows.count, true,
                 [&] { copy_rows(scratch, rows, args.q, kv_head, D); });
}

// A warp has 32 components of a row. Grid (Hkv * rows, D / 32), block 32.
__global__ void combine_vector(AttentionArgs args, TileParts parts) {
    const int group = args.group, rows = args.tokens * group, D = args.head_dim;
    const int kv_head = blockIdx.x / rows, r = blockIdx.x % rows, t = r / group;
    const int i = blockIdx.y * 32 + threadIdx.x;
    const int seen = (args.past + t) / kTile + 1;  // tiles with a slot that this row sees
    const float answer = combined(parts, blockIdx.x, seen, D, smaller(i, D - 1));
    if (i < D) row(args.out, t)[(kv_head * group + r % group) * D + i] = answer;
}

// ANCHOR_END: vector

}  // namespace kvlab::KVLAB_KERNELS

#if KVLAB_HOST_CODE
KVLAB_LAUNCHABLE(attention_vector)
KVLAB_LAUNCHABLE(combine_vector)

namespace kvlab::kernels {

// Where a slot may begin at any address, four numbers are not one load: the rung before.
void launch_attention_vector(const AttentionArgs& args, unsigned threads, Scratch& scratch) {
    if (args.head_dim % kWide != 0) return launch_attention_split(args, threads, scratch);
    const int rows = args.tokens * args.group;
    const TileParts parts = tile_parts(args, scratch);
    launch(attention_vector, {groups(args.kv_heads, 1), groups(args.tiles, 1)}, threads,
           static_cast<std::size_t>(piece_bytes(rows, args.head_dim)), args, parts);
    launch(combine_vector,
           {groups(Index{args.kv_heads} * rows, 1), groups(args.head_dim, kWarp)}, kWarp, 0,
           args, parts);
}

}  // namespace kvlab::kernels
#endif
