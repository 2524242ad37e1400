// token_arguments.hpp - chapter 4: what the kernels of a whole token are called with. All of it
// stays the same from token to token: what changes (the token, its position) lies in device
// memory, so that a launch can be recorded once and repeated.
#pragma once

#include "arguments.hpp"
#include "sizes.hpp"

namespace kvlab::kernels {

constexpr int kTokenThreads = 256;  // of every block
constexpr int kTokenWarps = kTokenThreads / kWarp;
constexpr int kStageBytes = 2176;  // the largest stage: Q8_0's group of 32 inputs

// Chains of a product's sums.
KVLAB_BOTH_SIDES constexpr int chains_of(int depth) {
    return (depth + kSumBlock - 1) / kSumBlock;
}

// Items of a product: a panel and a chain each.
KVLAB_BOTH_SIDES constexpr int chain_items(const Weights& w) {
    return (w.outputs + kPanel - 1) / kPanel * chains_of(w.depth);
}

KVLAB_BOTH_SIDES constexpr int tiles_of(int slots) {
    return (slots + kTile - 1) / kTile;
}

// Dynamic shared memory of a block: slots for stages, inputs, a row of `dim` numbers.
constexpr int token_shared_bytes(int slots, int dim) {
    return slots * kStageBytes + kTokenWarps * kSumBlock * 4 + row_bytes(dim);
}

// Numbers in device memory that change with each token.
struct TokenState {
    int token;     // that is fed next
    int position;  // where it goes
    int chosen;    // tokens that have been written to TokenArgs::tokens
};

// One layer: its weights, and its keys and values [Hkv, capacity, D].
struct TokenLayer {
    Weights qkv, out, gate_up, down;
    const float* attention_norm;  // [C]
    const float* ffn_norm;        // [C]
    float* keys;
    float* values;
};

// What all layers share. A product leaves the sum of each chain of 64 inputs by itself; the
// phase that comes next adds them (chain_sums.cuh).
struct TokenArgs {
    Weights embedding, output;  // [V, C]
    const float* final_norm;    // [C]
    const float* cosines;       // [capacity, rope_dim / 2]
    const float* sines;
    TokenState* state;
    int* tokens;     // those that were chosen, one after the other
    float* x;        // [C] the residual stream before a layer's attention
    float* x_after;  // [C] and after it
    ChainSums qkv_sums;
    TileParts parts;  // of the tiles of the whole capacity; row = query head
    ChainSums out_sums;
    ChainSums gate_up_sums;
    ChainSums down_sums;
    ChainSums output_sums;
    float* logits;       // [V]
    float* best_values;  // [blocks] the largest logit that a block has seen, and whose it is
    int* best_tokens;
    int dim, ffn, heads, kv_heads, head_dim, rope_dim, vocab, capacity;
    int group;         // query heads per KV head
    int slots;         // for stages of weights in a block (token_products.cuh)
    int shared_bytes;  // of dynamic shared memory, for every kernel
    float eps, scale;  // of the norms; of queries
};

// What a rung of the ladder is given.
struct TokenLaunch {
    const TokenArgs& args;
    const TokenLayer* layers;         // [L] in host memory
    const TokenLayer* device_layers;  // the same in device memory
    int n_layers;
    unsigned blocks;  // of a grid at most: as many as the device runs at a time
    int tokens;       // one after the other
    bool choose;      // each next token, too
};

}  // namespace kvlab::kernels
