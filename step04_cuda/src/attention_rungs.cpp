#include <algorithm>
#include <array>

#include <kvlab/cuda/ladders.hpp>

#include "kernels/kernels.cuh"
#include "kernels/tile_sizes.hpp"
#include "launch_sizes.hpp"

namespace kvlab {

float* Scratch::floats(Index count) {
    if (!room_ || room_->size() < count) {
        room_ = nullptr;  // before the new one is taken
        // A cache grows token by token; room for the next 64 tiles saves growing each time.
        room_ = std::make_unique<DeviceArray<float>>((count + 4095) / 4096 * 4096, "scratch");
    }
    return room_->get();
}

namespace {

constexpr std::array<int, 4> kSlotBlocks = {128, 1, 50, 1024};
constexpr std::array<int, 1> kTileBlock = {64};
constexpr std::array<int, 4> kWarpBlocks = {128, 32, 256, 1024};

// The sizes of a call, checked.
struct Sizes {
    explicit Sizes(const AttentionCall& call)
        : tokens(to_int(call.q.dim(0))),
          heads(to_int(call.q.dim(1))),
          head_dim(to_int(call.q.dim(2))),
          kv_heads(to_int(call.kv_heads)),
          capacity(to_int(call.capacity)),
          past(to_int(call.past)),
          slots(to_int(call.past + call.q.dim(0))),
          q_stride(to_int(call.q.stride(0))),
          out_stride(to_int(call.out.stride(0))) {
        check_shape(call.out, call.q.shape(), "attention: out");
        check(call.q.stride(1) == head_dim && call.out.stride(1) == head_dim,
              "attention: heads must lie side by side");
        check_rows(call.q, "attention: q");
        check_rows(call.out, "attention: out");
        check(tokens > 0 && kv_heads > 0 && heads % kv_heads == 0, "attention: ", heads,
              " query heads do not share ", kv_heads, " KV heads evenly");
        check(slots <= capacity, "attention: ", slots, " slots are more than the cache's ",
              capacity);
        group = heads / kv_heads;
        rows = tokens * heads;
        tiles = (slots + 63) / 64;
    }

    int tokens, heads, head_dim, kv_heads, capacity, past, slots, q_stride, out_stride;
    int group, rows, tiles;
};

bool any_tokens(Index, Index) {
    return true;
}

void weigh_values(const AttentionCall& call, const Sizes& s, float* weights, float* totals) {
    const unsigned block = static_cast<unsigned>(std::min(s.head_dim, 128));
    const dim3 grid(groups(s.rows, 1), groups(s.head_dim, block));
    launch(values_naive, grid, block, 0, weights, s.slots, totals, call.values, s.capacity,
           call.out.data(), s.out_stride, s.past, s.heads, s.group, s.head_dim);
}

void run_naive_attention(const AttentionCall& call) {
    const Sizes s(call);
    const unsigned block = block_of(call.block, kSlotBlocks);
    float* const scores = call.scratch.floats(Index{s.rows} * (s.slots + 1));
    float* const totals = scores + Index{s.rows} * s.slots;
    launch(scores_naive, dim3(groups(s.rows, 1), groups(s.slots, block)), block, 0,
           call.q.data(), s.q_stride, call.keys, s.capacity, scores, s.slots, s.past, s.heads,
           s.group, s.head_dim);
    launch(softmax_naive, groups(s.rows, block), block, 0, scores, s.slots, totals, s.past,
           s.heads, s.rows);
    weigh_values(call, s, scores, totals);
}

void run_staged_attention(const AttentionCall& call) {
    const Sizes s(call);
    check(block_of(call.block, kTileBlock) == 64, "attention: this kernel wants 64 threads");
    float* const scores = call.scratch.floats(Index{s.rows} * (s.slots + 1));
    float* const totals = scores + Index{s.rows} * s.slots;
    launch(scores_staged, dim3(groups(s.rows, 1), groups(s.tiles, 1)), 64, 0, call.q.data(),
           s.q_stride, call.keys, s.capacity, scores, s.slots, s.past, s.heads, s.group,
           s.head_dim);
    launch(softmax_warp, groups(s.rows, 1), 32, 0, scores, s.slots, totals, s.past, s.heads);
    weigh_values(call, s, scores, totals);
}

unsigned warps_of(int asked) {
    const unsigned block = block_of(asked, kWarpBlocks);
    check(block % 32 == 0, "attention: this kernel wants a multiple of 32 threads, found ",
          block);
    return block;
}

// As many rows as share a tile with profit and fit in shared memory.
int rows_per_block(const Sizes& s) {
    int rows = std::min(kMostTileRows, s.tokens * s.group);
    while (rows > 1 && tile_bytes(rows, s.head_dim) > static_cast<int>(kSharedLimit) - 1024)
        rows /= 2;
    return rows;
}

void run_fused_attention(const AttentionCall& call) {
    const Sizes s(call);
    const int rows = rows_per_block(s);
    const dim3 grid(groups(s.kv_heads, 1), groups(Index{s.tokens} * s.group, rows));
    launch(attention_fused, grid, warps_of(call.block),
           static_cast<std::size_t>(tile_bytes(rows, s.head_dim)), call.q.data(), s.q_stride,
           call.keys, call.values, s.capacity, call.out.data(), s.out_stride, s.past, s.tokens,
           s.group, s.head_dim, rows);
}

bool few_rows(Index tokens, Index group) {
    return tokens * group <= kMostTileRows;
}

void run_split_attention(const AttentionCall& call) {
    const Sizes s(call);
    const int rows = s.tokens * s.group;
    check(few_rows(s.tokens, s.group), "attention: this kernel takes at most ", kMostTileRows,
          " rows per KV head, found ", rows);
    float* const parts =
        call.scratch.floats(Index{s.kv_heads} * s.tiles * rows * (s.head_dim + 2));
    launch(attention_parts, dim3(groups(s.kv_heads, 1), groups(s.tiles, 1)),
           warps_of(call.block), static_cast<std::size_t>(tile_bytes(rows, s.head_dim)),
           call.q.data(), s.q_stride, call.keys, call.values, s.capacity, parts, s.past,
           s.tokens, s.group, s.head_dim);
    launch(combine_parts, groups(Index{s.kv_heads} * rows, 1),
           static_cast<unsigned>(std::min(s.head_dim, 128)), 0, parts, s.tiles, call.out.data(),
           s.out_stride, s.past, rows, s.group, s.head_dim);
}

constexpr AttentionRung kAttentionRungs[] = {
    {{"naive", "three kernels, a thread per score", kSlotBlocks},
     any_tokens,
     run_naive_attention},
    {{"staged", "three kernels, keys through shared memory, warps", kTileBlock},
     any_tokens,
     run_staged_attention},
    {{"fused", "one kernel, online softmax, a KV head read once", kWarpBlocks},
     any_tokens,
     run_fused_attention},
    {{"split", "a block per tile, combined in slot order", kWarpBlocks},
     few_rows,
     run_split_attention},
};

}  // namespace

std::span<const AttentionRung> attention_rungs() {
    return kAttentionRungs;
}

}  // namespace kvlab
