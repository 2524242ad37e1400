// arguments.hpp - chapter 4: what kernels are called with: one plain struct for each operation,
// the same for host and device. The host fills it (launch_checks.cpp), each thread has a copy.
//
// Behind each struct stand the operations with one kernel that take it; where there is a ladder
// of kernels, ladders.cpp has their names. Each is defined beside its kernel, which it
// launches. Arrays are device memory; a stride is the number of floats from one row to the
// next.
#pragma once

#include "formats.hpp"

namespace kvlab::kernels {

// ANCHOR: linear
// A weight matrix [N, K]: rows or panels, the other one is null.
struct Weights {
    const float* rows;            // [N][K]
    const unsigned char* panels;  // [N/64][K][64], in any format
    long long panel_bytes;        // of one panel
    Format format;
    int outputs, depth;  // N, K
};

// y [R, N] = x [R, K] w^T, plus bias [N] unless null.
struct LinearArgs {
    Weights w;
    const float* bias;
    const float* x;
    float* y;
    int x_stride, y_stride, rows;
};

// ANCHOR_END: linear

// x [R, K] = rows `tokens` of a table.
struct GatherArgs {
    Weights table;
    const int* tokens;  // [R]
    float* x;
    int x_stride, rows;
};

void launch_gather(const GatherArgs& args);

// y [R, C] = norm of x [R, C]. y may be x.
struct NormArgs {
    const float* x;
    const float* weight;  // [C]
    const float* bias;    // [C], of LayerNorm alone
    float* y;
    float eps;
    int x_stride, y_stride, rows, width;
};

void launch_layer_norm(const NormArgs& args);

// From rows x [R, ...] to rows y [R, width]; what is done is the kernel's.
struct RowsArgs {
    const float* x;
    float* y;
    int x_stride, y_stride, rows, width;
};

void launch_add(const RowsArgs& args);
void launch_swiglu(const RowsArgs& args);
void launch_gelu(const RowsArgs& args);

// heads [R, heads, D], rotated in place by cosines and sines [R, rope_dim / 2], then multiplied
// by `factor`.
struct RotateArgs {
    float* heads;
    const float* cosines;
    const float* sines;
    float factor;
    int stride, rows, n_heads, head_dim, rope_dim;
};

void launch_rotate(const RotateArgs& args);

// k, v [T, Hkv, D], tokens `stride` floats apart, to slots first ... first + T - 1 of keys,
// values [Hkv, capacity, D].
struct AppendArgs {
    const float* k;
    const float* v;
    float* keys;
    float* values;
    int stride, tokens, kv_heads, head_dim, capacity, first;
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
    const float* q;       // [T, Hq, D], heads side by side
    const float* keys;    // [Hkv, capacity, D]
    const float* values;  // [Hkv, capacity, D]
    float* out;           // [T, Hq, D], heads side by side
    int q_stride, out_stride;
    int tokens, past, capacity;
    int heads, kv_heads, head_dim;
    int group;         // query heads per KV head
    int slots, tiles;  // that the last token sees
};

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
