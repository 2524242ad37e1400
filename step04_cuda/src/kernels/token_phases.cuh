// token_phases.cuh - chapter 4: one token of a decoder, in phases. Within a phase the blocks of
// a grid need nothing of each other; between two phases all of them have to wait: for the next
// launch (token_2_fused.cu) or at a barrier of the grid (token_4_persistent.cu).
//
//   attention_in       x = what the layer before left; norm; sums of q, k, v     5 phases
//   attend             q and k rotated; k, v to their slot; parts of each tile   a layer
//   attention_out      parts combined; sums of the output matrix
//   feed_forward_in    x_after = x + those sums; norm; sums of gate and up
//   feed_forward_out   silu(gate) * up; sums of the down projection
//   output             x = x_after + those sums; the last norm; sums of the logits
//   choose             logits; the largest that each block has seen
//   next               the largest of all is the next token
//
// Each phase begins with what the one before left half done: it adds the chains' sums in order.
// Many blocks do the same addition, each for itself. That costs some reads of the second-level
// cache, and saves a launch.
#pragma once

#include "attention_combine.cuh"
#include "attention_piece.cuh"
#include "rope.cuh"
#include "row_sums.cuh"
#include "token_arguments.hpp"
#include "token_products.cuh"
#include "winner.cuh"

namespace kvlab::KVLAB_KERNELS {

// Dynamic shared memory of a block. Attention uses all of it for itself.
struct TokenShared {
    unsigned char* rings;  // [slots][kStageBytes]
    float* inputs;         // [warps][64]
    float* row;            // a padded row [C] and its blocks' sums
};

__device__ __forceinline__ TokenShared token_shared(float* shared, int slots) {
    const int rings = slots * kStageBytes / 4;
    return {reinterpret_cast<unsigned char*>(shared), shared + rings,
            shared + rings + kTokenWarps * kSumBlock};
}

__device__ __forceinline__ float* my_inputs(const TokenShared& shared) {
    return shared.inputs + threadIdx.x / kWarp * kSumBlock;
}

// Number i of the residual stream to shared memory. The first block keeps it in global memory,
// too, for the phase that adds to it.
__device__ __forceinline__ void keep(const TokenShared& shared,
                                     float* copy,
                                     int i,
                                     float value) {
    shared.row[padded(i)] = value;
    if (blockIdx.x == 0) copy[i] = value;
}

// y = before + the sums of a product, which is where the residual stream goes on.
__device__ __forceinline__ void add_product(const TokenArgs& args,
                                            const TokenShared& shared,
                                            const float* before,
                                            const ChainSums& sums,
                                            float* copy) {
    for (int i = threadIdx.x; i < args.dim; i += blockDim.x)
        keep(shared, copy, i, before[i] + total_of_chains(sums, 0, i, nullptr));
}

// RMSNorm's factor of the row in shared memory.
__device__ __forceinline__ float norm_factor(const TokenArgs& args, const TokenShared& shared) {
    __syncthreads();
    const float squares = row_sum(shared.row, args.dim, shared.row + padded_row(args.dim),
                                  [](float term, float sum) { return fmaf(term, term, sum); });
    return 1.0f / sqrtf(squares / static_cast<float>(args.dim) + args.eps);
}

// Sums of a product with the normed row.
__device__ __forceinline__ void normed_products(const TokenArgs& args,
                                                const TokenShared& shared,
                                                Walk& walk,
                                                const float* norm,
                                                const ChainSums& sums) {
    const float factor = norm_factor(args, shared);
    products(walk, my_inputs(shared), sums,
             [&](int k) { return shared.row[padded(k)] * factor * norm[k]; });
}

// ANCHOR: attention_in
// The token's row of the embedding.
__device__ __forceinline__ void embed(const TokenArgs& args, const TokenShared& shared) {
    const int token = args.state->token;
    const unsigned char* panel = panel_of(args.embedding, token / kPanel);
    for (int k = threadIdx.x * kEight; k < args.dim; k += blockDim.x * kEight) {
        float eight[kEight];
        load_eight(args.embedding.type, panel, args.dim, k, token % kPanel, eight);
#pragma unroll
        for (int i = 0; i < kEight; ++i)
            if (k + i < args.dim) keep(shared, args.x, k + i, eight[i]);
    }
}

__device__ __forceinline__ void attention_in(const TokenArgs& args,
                                             const TokenLayer& layer,
                                             bool first_layer,
                                             const TokenShared& shared,
                                             Walk& walk) {
    if (first_layer)
        embed(args, shared);
    else
        add_product(args, shared, args.x_after, args.down_sums, args.x);
    normed_products(args, shared, walk, layer.attention_norm, args.qkv_sums);
}

// ANCHOR_END: attention_in

// Pair i of the head whose numbers are the outputs from `first` on, rotated.
__device__ __forceinline__ float2
pair_of(const TokenArgs& args, int position, int first, int i, float factor) {
    const float2 x = make_float2(total_of_chains(args.qkv_sums, 0, first + 2 * i, nullptr),
                                 total_of_chains(args.qkv_sums, 0, first + 2 * i + 1, nullptr));
    const long long at = static_cast<long long>(position) * (args.rope_dim / 2);
    return rotated_pair(x, i, args.head_dim, args.rope_dim, args.cosines + at, args.sines + at,
                        factor);
}

// The group's queries to shared memory, by the threads that attend; then rows of zeros, as
// copy_rows has them.
__device__ __forceinline__ void take_queries(const TokenArgs& args,
                                             const PieceScratch& scratch,
                                             const TileRows& rows,
                                             int kv_head,
                                             int position) {
    const int D = args.head_dim, pairs = D / 2;
    for (int p = threadIdx.x; p < rows.fours() * kFour * pairs; p += kVectorThreads) {
        const int r = p / pairs, i = p % pairs;
        const float2 two =
            r < rows.count
                ? pair_of(args, position, (kv_head * args.group + r) * D, i, args.scale)
                : make_float2(0.0f, 0.0f);
        scratch.queries[r * D + 2 * i] = two.x;
        scratch.queries[r * D + 2 * i + 1] = two.y;
    }
}

// The token's key, rotated, and its value to their slot.
__device__ __forceinline__ void append_token(const TokenArgs& args,
                                             const TokenLayer& layer,
                                             int kv_head,
                                             int position) {
    const int D = args.head_dim;
    const long long slot = (static_cast<long long>(kv_head) * args.capacity + position) * D;
    for (int i = threadIdx.x; i < D / 2; i += blockDim.x) {
        const float2 two = pair_of(args, position, (args.heads + kv_head) * D, i, 1.0f);
        layer.keys[slot + 2 * i] = two.x;
        layer.keys[slot + 2 * i + 1] = two.y;
    }
    for (int i = threadIdx.x; i < D; i += blockDim.x)
        layer.values[slot + i] = total_of_chains(
            args.qkv_sums, 0, (args.heads + args.kv_heads + kv_head) * D + i, nullptr);
}

// ANCHOR: attend
__device__ __forceinline__ void attend(const TokenArgs& args,
                                       const TokenLayer& layer,
                                       float* shared) {
    const int position = args.state->position, tiles = tiles_of(position + 1),
              D = args.head_dim;
    const TileRows rows = {0, args.group, args.group, position};
    const PieceScratch scratch = piece_scratch(shared, args.group);
    for (int item = blockIdx.x; item < args.kv_heads * tiles; item += gridDim.x) {
        const int kv_head = item % args.kv_heads, tile = item / args.kv_heads;
        const long long at = (static_cast<long long>(kv_head) * args.capacity +
                              static_cast<long long>(tile) * kTile) *
                             D;
        if (tile == tiles - 1) {
            append_token(args, layer, kv_head, position);
            __syncthreads();  // this block reads that slot
        }
        // Query heads of one KV head follow one another, and so do their rows of parts.
        weigh_pieces(scratch, rows, tile, smaller(kTile, position + 1 - tile * kTile),
                     layer.keys + at, layer.values + at, D, args.parts, kv_head * args.group,
                     threadIdx.x < kVectorThreads,
                     [&] { take_queries(args, scratch, rows, kv_head, position); });
    }
}

// ANCHOR_END: attend

// Number k of attention's output, [Hq, D]. A warp combines one head at a time; where a head
// ends between two of its lanes, it does so for both.
__device__ __forceinline__ float attended(const TokenArgs& args, int tiles, int k) {
    const int D = args.head_dim, mine = k / D;
    const int first = __shfl_sync(0xffffffffu, mine, 0);
    const int last = __shfl_sync(0xffffffffu, mine, kWarp - 1);
    float found = 0.0f;
    for (int head = first; head <= last; ++head) {
        const float answer = combined(args.parts, head, tiles, D, k % D);
        if (head == mine) found = answer;
    }
    return found;
}

__device__ __forceinline__ void attention_out(const TokenArgs& args,
                                              const TokenShared& shared,
                                              Walk& walk) {
    const int tiles = tiles_of(args.state->position + 1);
    products(walk, my_inputs(shared), args.out_sums,
             [&](int k) { return attended(args, tiles, k); });
}

__device__ __forceinline__ void feed_forward_in(const TokenArgs& args,
                                                const TokenLayer& layer,
                                                const TokenShared& shared,
                                                Walk& walk) {
    add_product(args, shared, args.x, args.out_sums, args.x_after);
    normed_products(args, shared, walk, layer.ffn_norm, args.gate_up_sums);
}

__device__ __forceinline__ void feed_forward_out(const TokenArgs& args,
                                                 const TokenShared& shared,
                                                 Walk& walk) {
    products(walk, my_inputs(shared), args.down_sums, [&](int k) {
        return silu(total_of_chains(args.gate_up_sums, 0, k, nullptr)) *
               total_of_chains(args.gate_up_sums, 0, args.ffn + k, nullptr);
    });
}

__device__ __forceinline__ void output(const TokenArgs& args,
                                       const TokenShared& shared,
                                       Walk& walk) {
    add_product(args, shared, args.x_after, args.down_sums, args.x);
    normed_products(args, shared, walk, args.final_norm, args.output_sums);
}

// ANCHOR: choose
__device__ __forceinline__ void choose(const TokenArgs& args) {
    __shared__ float values[kTokenWarps];
    __shared__ int tokens[kTokenWarps];
    Winner best = nobody();
    for (int n = blockIdx.x * blockDim.x + threadIdx.x; n < args.vocab;
         n += gridDim.x * blockDim.x) {
        args.logits[n] = total_of_chains(args.output_sums, 0, n, nullptr);
        best = winner_of(best, {args.logits[n], n});
    }
    best = winner_of_warp(best);
    const int warp = threadIdx.x / kWarp;
    if (threadIdx.x % kWarp == 0) {
        values[warp] = best.value;
        tokens[warp] = best.index;
    }
    __syncthreads();
    if (threadIdx.x != 0) return;
    for (int w = 1; w < kTokenWarps; ++w) best = winner_of(best, {values[w], tokens[w]});
    args.best_values[blockIdx.x] = best.value;
    args.best_tokens[blockIdx.x] = best.index;
}

// One warp; `blocks` have chosen.
__device__ __forceinline__ void next(const TokenArgs& args, int blocks) {
    Winner best = nobody();
    for (int b = threadIdx.x; b < blocks; b += kWarp)
        best = winner_of(best, {args.best_values[b], args.best_tokens[b]});
    best = winner_of_warp(best);
    if (threadIdx.x != 0) return;
    TokenState& state = *args.state;
    args.tokens[state.chosen] = best.index;
    state.chosen += 1;
    state.token = best.index;
    state.position += 1;
}

// ANCHOR_END: choose

}  // namespace kvlab::KVLAB_KERNELS
