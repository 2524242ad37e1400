// attention_6_async.cu - chapter 4: prompts, and copies that nobody waits for.
//
// was           16 rows share a tile, so a prompt of 128 tokens reads it 24 times for a group
// of
//               three; threads copy it through their registers, and wait
// change        up to 64 rows share a tile, 4 x 4 scores and then 4 x 4 components of the
//               output to a thread. A piece of the tile is copied by the machine's own
//               asynchronous copies (cp.async, Ampere 2020) while the piece before it is
//               computed with (FlashAttention-2: Dao 2023)
// why faster    a tile is read once for 64 rows. Eight reads of four numbers serve 64 fma. The
//               copies keep no register and no thread, and a piece needs one barrier
// still bad     a piece is one step ahead, not two: 64 KiB of shared memory are full
#include "attention_flash_memory.cuh"

namespace kvlab::KVLAB_KERNELS {

// What the block keeps in dynamic shared memory: rows of 64 floats, each as place() has it. Two
// pieces of a tile, [2][64]; the queries' pieces, [kPieces][rows]; the weights, [rows].
//
// Four threads for each of `rows` rows.
// ANCHOR: async
template <int kPieces>
__device__ __forceinline__ void attend_rows(const AttentionArgs& args, float* shared) {
    const int kv_head = blockIdx.x, count = blockDim.x / kThreadsPerRow, D = args.head_dim;
    // The last rows see most slots: they begin first.
    const int first = (gridDim.y - 1 - blockIdx.y) * count, all_rows = args.tokens * args.group;
    float* const queries = shared + 2 * kTile * kSumBlock;
    float* const weights = queries + kPieces * count * kSumBlock;
    const FlashRows rows = flash_rows(args, first);
    // Slots that the block's last row sees.
    const int end = args.past + (smaller(first + count, all_rows) - 1) / args.group + 1;
    const int whole = args.past + first / args.group + 1;  // and its first
    const int steps = (end + kTile - 1) / kTile * 2 * kPieces;
    const long long head = static_cast<long long>(kv_head) * args.capacity * D;
    FlashSums sums = {};
    float4 all[kPieces][kFour];
    float scores[kFour][kFour] = {};
    start_queries(args, kv_head, first, count, queries);
    start_piece<kPieces>(args, head, 0, end, shared);
    __pipeline_commit();
    // The piece of this step is there, all have done with the one before, and the next starts.
    const auto next_piece = [&](int step) {
        __pipeline_wait_prior(0);
        __syncthreads();
        if (step + 1 < steps) start_piece<kPieces>(args, head, step + 1, end, shared);
        __pipeline_commit();
        return shared + step % 2 * kTile * kSumBlock;
    };
    for (int tile = 0; tile * kTile < end; ++tile) {
        const int step = tile * 2 * kPieces, slots = smaller(kTile, end - tile * kTile);
#pragma unroll
        for (int p = 0; p < kPieces; ++p)
            score_piece(queries + p * count * kSumBlock, next_piece(step + p), rows,
                        smaller(kSumBlock, D - p * kSumBlock), p == 0, scores);
        weigh_scores(scores, rows, tile, weights, sums);
#pragma unroll
        for (int p = 0; p < kPieces; ++p) {
            const float* values = next_piece(step + kPieces + p);
            if ((tile + 1) * kTile <= whole)
                value_piece<true>(weights, values, rows, tile, slots, sums, all[p]);
            else
                value_piece<false>(weights, values, rows, tile, slots, sums, all[p]);
        }
    }
    store_rows(args, kv_head, first, rows, sums, all, weights);
}

// Grid (Hkv, T * group / rows), block 4 * rows, a multiple of 32; flash_bytes(rows, D) of
// dynamic shared memory. D a multiple of four, at most 64.
__global__ void __launch_bounds__(kMostFlashRows* kThreadsPerRow)
    attention_async_64(AttentionArgs args) {
    KVLAB_DYNAMIC_SHARED(float, shared);
    attend_rows<1>(args, shared);
}

// The same, D at most 128.
__global__ void __launch_bounds__(kMostFlashRows* kThreadsPerRow)
    attention_async_128(AttentionArgs args) {
    KVLAB_DYNAMIC_SHARED(float, shared);
    attend_rows<2>(args, shared);
}

// ANCHOR_END: async

}  // namespace kvlab::KVLAB_KERNELS

#if KVLAB_HOST_CODE
KVLAB_LAUNCHABLE(attention_async_64)
KVLAB_LAUNCHABLE(attention_async_128)

namespace kvlab::kernels {

namespace {

// As many rows as there are and as fit in shared memory; at least a warp's. If that gives less
// than a block to each multiprocessor of a large GPU, four warps' rows: a multiprocessor has
// four schedulers, so four warps take a tile as fast as one, and there are more blocks.
int flash_rows(const AttentionArgs& args, unsigned threads) {
    constexpr Index kProcessors = 128;
    const Index all = Index{args.tokens} * args.group;
    const bool few = args.kv_heads * (all / kMostFlashRows) < kProcessors;
    int rows = std::min(static_cast<int>(threads) / kThreadsPerRow,
                        few ? kMostFlashRows / 2 : kMostFlashRows);
    while (
        rows > kWarp / kThreadsPerRow &&
        (flash_bytes(rows, args.head_dim) > static_cast<int>(kSharedLimit) || rows / 2 >= all))
        rows /= 2;
    return rows;
}

}  // namespace

// Two pieces of the output are what a thread's registers hold: wider heads, and those whose
// slots begin at any address, go the way of an earlier rung.
void launch_attention_async(const AttentionArgs& args, unsigned threads, Scratch& scratch) {
    if (args.head_dim % kWide != 0 || args.head_dim > 2 * kSumBlock)
        return launch_attention_fused(args, threads, scratch);
    const int rows = flash_rows(args, threads);
    launch(args.head_dim <= kSumBlock ? attention_async_64 : attention_async_128,
           {groups(args.kv_heads, 1), groups(Index{args.tokens} * args.group, rows)},
           groups(Index{rows} * kThreadsPerRow, 1),
           static_cast<std::size_t>(flash_bytes(rows, args.head_dim)), args);
}

}  // namespace kvlab::kernels
#endif
