// launch_checks.hpp - chapter 4: from what an operation is called with to what its kernels
// take: all shapes and sizes are checked here, once for all rungs of a ladder.
#pragma once

#include <kvlab/attention/kv_store.hpp>
#include <kvlab/cuda/ladders.hpp>
#include <kvlab/tensor/rope.hpp>

#include "kernels/arguments.hpp"

namespace kvlab::kernels {

// Each throws Error for what does not fit. What only the caller knows is null so far.
LinearArgs linear_args(const LinearCall& call, MatrixLayout layout);
NormArgs rms_norm_args(const NormCall& call);
NormArgs layer_norm_args(const NormCall& call, const float* bias);
AttentionArgs attention_args(const AttentionCall& call);

// Rows of one shape; `what` names y.
ElementwiseArgs elementwise_args(const View<const float>& x,
                                 const View<float>& y,
                                 const char* what);
ElementwiseArgs swiglu_args(const View<const float>& gate_up, const View<float>& hidden);

// Without the tokens on the device.
GatherArgs gather_args(const DeviceMatrix& table,
                       std::span<const Token> tokens,
                       const View<float>& x);

// Without cosines and sines. `table` null: nothing is rotated.
RotateArgs rotate_args(const View<float>& heads,
                       const RopeTable* table,
                       std::span<const Index> positions,
                       float factor);

// Without keys, values and the first slot.
AppendArgs append_args(const View<const float>& k,
                       const View<const float>& v,
                       const KvShape& shape,
                       Index tokens,
                       Index capacity);

}  // namespace kvlab::kernels
