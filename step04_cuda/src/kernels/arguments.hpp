// arguments.hpp - chapter 4: what kernels are called with: one plain struct for each operation,
// the same for host and device. The host fills it (launch_checks.cpp), each thread has a copy.
//
// Behind each struct stand the operations with one kernel that take it; where there is a ladder
// of kernels, ladders.cpp has their names. Each is defined beside its kernel, which it
// launches. All arrays are device memory.
#pragma once

#include <kvlab/tensor/type_number.hpp>

namespace kvlab::kernels {

// ANCHOR: linear
// Rows, `stride` floats from one to the next.
struct ConstRows {
    const float* first;
    int stride;
};

struct Rows {
    float* first;
    int stride;
};

// A weight matrix [N, K]: rows or panels, the other one is null.
struct Weights {
    const float* rows;            // [N][K]
    const unsigned char* panels;  // [N/64][K][64], of any type
    long long panel_bytes;        // of one panel
    TensorType type;
    int outputs, depth;  // N, K
};

// y [R, N] = x [R, K] w^T, plus bias [N] unless null.
struct LinearArgs {
    Weights w;
    const float* bias;
    ConstRows x;
    Rows y;
    int rows;  // R
};

// ANCHOR_END: linear

// What a product leaves for the kernel after it: a sum for each block of 64 inputs, to be added
// in order (chain_sums.cuh).
struct ChainSums {
    float* first;               // [chains][R][N]
    int chains, rows, outputs;  // R, N
};

// x [R, K] = rows `tokens` of a table.
struct GatherArgs {
    Weights table;
    const int* tokens;  // [R]
    Rows x;
    int rows;
};

void launch_gather(const GatherArgs& args);

// y [R, C] = norm of x [R, C]. y may be x.
struct NormArgs {
    ConstRows x;
    const float* weight;  // [C]
    const float* bias;    // [C], of LayerNorm alone
    Rows y;
    float eps;
    int rows, width;
};

void launch_layer_norm(const NormArgs& args);

// From rows x [R, ...] to rows y [R, width]; what is done is the kernel's.
struct ElementwiseArgs {
    ConstRows x;
    Rows y;
    int rows, width;
};

void launch_add(const ElementwiseArgs& args);
void launch_swiglu(const ElementwiseArgs& args);
void launch_gelu(const ElementwiseArgs& args);

// heads [R, heads, D], rotated in place by cosines and sines [R, rope_dim / 2], then multiplied
// by `factor`.
struct RotateArgs {
    Rows heads;
    const float* cosines;
    const float* sines;
    float factor;
    int rows, n_heads, head_dim, rope_dim;
};

void launch_rotate(const RotateArgs& args);

// k, v [T, Hkv, D] to slots first ... first + T - 1 of keys, values [Hkv, capacity, D].
struct AppendArgs {
    ConstRows k, v;
    float* keys;
    float* values;
    int tokens, kv_heads, head_dim, capacity, first;
};

void launch_append(const AppendArgs& args);

// Slots [0, count) of `from` [Hkv, from_capacity, D] to the same slots of `to`.
struct CopyArgs {
    const float* from;
    float* to;
    int from_capacity, to_capacity, count, kv_heads, head_dim;
};

void launch_copy_slots(const CopyArgs& args);

// Causal attention of T new tokens: token t sees the slots 0 ... past + t.
struct AttentionArgs {
    ConstRows q;          // [T, Hq, D], heads side by side
    const float* keys;    // [Hkv, capacity, D]
    const float* values;  // [Hkv, capacity, D]
    Rows out;             // [T, Hq, D], heads side by side
    int tokens, past, capacity;
    int heads, kv_heads, head_dim;
    int group;         // query heads per KV head
    int slots, tiles;  // that the last token sees
};

// What each tile leaves of each row, for attention_combine.cuh. R = Hkv * rows, row = KV head *
// rows + token * group + head of the group. `stride` is `tiles` rounded up to 8, so that each
// row begins with a sector.
struct TileParts {
    float* sums;    // [R][tiles][D]: weighted values, relative to the tile's own maximum
    float* totals;  // [R][stride]: sums of the weights
    float* maxima;  // [R][stride]: largest exponents
    int tiles, stride;
};

inline int parts_stride(int tiles) {
    return (tiles + 7) / 8 * 8;
}

// Floats that they take.
inline long long parts_floats(long long rows, int tiles, long long head_dim) {
    return rows * (2LL * parts_stride(tiles) + tiles * head_dim);
}

// They lie in memory one after the other.
inline TileParts tile_parts(float* memory, long long rows, int tiles) {
    const int stride = parts_stride(tiles);
    return {memory + 2 * rows * stride, memory, memory + rows * stride, tiles, stride};
}

// The last of three kernels that two ladders' rungs share: out of the weights and their sums.
void launch_values(const AttentionArgs& args, const float* weights, const float* totals);

// token[0] = what the host's Sampler draws from logits [count] with `uniform`, the next number
// of its generator, in [0, 1). weights [count] is scratch.
struct SampleArgs {
    const float* logits;
    float* weights;
    int* token;
    float scale, uniform;
    int count;
};

void launch_sample(const SampleArgs& args);

}  // namespace kvlab::kernels
