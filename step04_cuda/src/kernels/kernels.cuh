// kernels.cuh - chapter 4: every kernel of this chapter, for host code to launch. What each
// does and how large its grid and block are stands with its definition.
#pragma once

#include <kvlab/cuda/launch.hpp>

namespace kvlab {

// clang-format off
KVLAB_KERNEL(linear_naive, (const float* w, const float* bias, const float* x, int x_stride,
                            float* y, int y_stride, int outputs, int depth));
KVLAB_KERNEL(linear_coalesced, (int format, const unsigned char* w, long long panel_bytes,
                                const float* bias, const float* x, int x_stride, float* y,
                                int y_stride, int outputs, int depth));
KVLAB_KERNEL(linear_split, (int format, const unsigned char* w, long long panel_bytes,
                            const float* bias, const float* x, int x_stride, float* y,
                            int y_stride, int outputs, int depth));
KVLAB_KERNEL(linear_shared, (int format, const unsigned char* w, long long panel_bytes,
                             const float* bias, const float* x, int x_stride, float* y,
                             int y_stride, int rows, int outputs, int depth));
KVLAB_KERNEL(linear_registers, (int format, const unsigned char* w, long long panel_bytes,
                                const float* bias, const float* x, int x_stride, float* y,
                                int y_stride, int rows, int outputs, int depth));

KVLAB_KERNEL(rms_norm_naive, (const float* x, int x_stride, const float* weight, float eps,
                              float* y, int y_stride, int rows, int width));
KVLAB_KERNEL(rms_norm_block, (const float* x, int x_stride, const float* weight, float eps,
                              float* y, int y_stride, int width));
KVLAB_KERNEL(layer_norm_block, (const float* x, int x_stride, const float* weight,
                                const float* bias, float eps, float* y, int y_stride,
                                int width));

KVLAB_KERNEL(add_rows, (const float* x, int x_stride, float* y, int y_stride, int width));
KVLAB_KERNEL(swiglu_rows, (const float* gate_up, int in_stride, float* hidden, int out_stride,
                           int width));
KVLAB_KERNEL(gelu_rows, (const float* x, int x_stride, float* y, int y_stride, int width));
KVLAB_KERNEL(gather_panels, (int format, const unsigned char* table, long long panel_bytes,
                             const int* tokens, float* x, int x_stride, int depth));
KVLAB_KERNEL(gather_rows, (const float* table, const int* tokens, float* x, int x_stride,
                           int depth));
KVLAB_KERNEL(rotate_heads, (float* heads, int stride, const float* cosines, const float* sines,
                            int n_heads, int head_dim, int rope_dim, float factor));
KVLAB_KERNEL(append_rows, (const float* k, const float* v, int stride, float* keys,
                           float* values, int kv_heads, int head_dim, int capacity, int first));
KVLAB_KERNEL(copy_slots, (const float* from, int from_capacity, float* to, int to_capacity,
                          int count, int head_dim));

KVLAB_KERNEL(scores_naive, (const float* q, int q_stride, const float* keys, int capacity,
                            float* scores, int slots, int past, int heads, int group,
                            int head_dim));
KVLAB_KERNEL(softmax_naive, (float* scores, int slots, float* totals, int past, int heads,
                             int rows));
KVLAB_KERNEL(values_naive, (const float* weights, int slots, const float* totals,
                            const float* values, int capacity, float* out, int out_stride,
                            int past, int heads, int group, int head_dim));
KVLAB_KERNEL(scores_staged, (const float* q, int q_stride, const float* keys, int capacity,
                             float* scores, int slots, int past, int heads, int group,
                             int head_dim));
KVLAB_KERNEL(softmax_warp, (float* scores, int slots, float* totals, int past, int heads));
KVLAB_KERNEL(attention_fused, (const float* q, int q_stride, const float* keys,
                               const float* values, int capacity, float* out, int out_stride,
                               int past, int tokens, int group, int head_dim,
                               int rows_per_block));
KVLAB_KERNEL(attention_parts, (const float* q, int q_stride, const float* keys,
                               const float* values, int capacity, float* parts, int past,
                               int tokens, int group, int head_dim));
KVLAB_KERNEL(combine_parts, (const float* parts, int tiles, float* out, int out_stride,
                             int past, int rows, int group, int head_dim));

KVLAB_KERNEL(argmax_naive, (const float* values, int count, int* best));
KVLAB_KERNEL(argmax_tree, (const float* values, int count, int* best));
KVLAB_KERNEL(sample_token, (const float* logits, int count, float scale, float uniform,
                            float* weights, int* token));
// clang-format on

}  // namespace kvlab
