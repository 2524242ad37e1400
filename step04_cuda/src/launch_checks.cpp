#include "launch_checks.hpp"

#include <kvlab/attention/attention_kernels.hpp>
#include <kvlab/tensor/numerics.hpp>

#include "kernels/sizes.hpp"
#include "launch_sizes.hpp"

namespace kvlab {

static_assert(kernels::kSumBlock == kSumBlock && kernels::kPanel == kPanel &&
                  kernels::kTile == kTile,
              "kernels and the CPU share their sums, their weights' layout and their tiles");

unsigned Rung::threads(int asked, const char* operation) const {
    const int block = asked == 0 ? blocks[0] : asked;
    check(block >= 1 && block <= 1024, "cuda: a block has 1 to 1024 threads, found ", block);
    const bool only = blocks.size() == 1;
    check(!only || block == 1 || blocks[0] != 1, operation, ": this kernel wants one thread");
    check(!only || block == blocks[0], operation, ": this kernel wants ", blocks[0],
          " threads");
    check(block % multiple == 0, operation, ": this kernel wants a multiple of ", multiple,
          " threads, found ", block);
    check(!power_of_two || (block & (block - 1)) == 0, operation,
          ": this kernel wants a power of two of threads, found ", block);
    return static_cast<unsigned>(block);
}

namespace kernels {

namespace {

ConstRows rows_of(const View<const float>& view) {
    return {view.data(), to_int(view.stride(0))};
}

Rows rows_of(const View<float>& view) {
    return {view.data(), to_int(view.stride(0))};
}

int row_count(const View<const float>& view) {
    return to_int(view.dim(0));
}

NormArgs norm_args(const NormCall& call, const float* bias) {
    return {.x = rows_of(call.x),
            .weight = call.weight,
            .bias = bias,
            .y = rows_of(call.y),
            .eps = call.eps,
            .rows = row_count(call.x),
            .width = to_int(call.x.dim(1))};
}

}  // namespace

LinearArgs linear_args(const LinearCall& call, MatrixLayout layout) {
    const auto& [w, bias, x, y, scratch, block] = call;
    const Index R = x.dim(0);
    check_shape(x, {R, w.depth()}, "linear: x");
    check_shape(y, {R, w.outputs()}, "linear: y");
    check_rows(x, "linear: x");
    check_rows(y, "linear: y");
    check(R <= 65535, "linear: at most 65535 rows at once, found ", R);
    check(w.layout() == layout, "linear: this kernel wants the weights in ",
          layout == MatrixLayout::rows ? "rows" : "panels");
    return {
        .w = w.weights(), .bias = bias, .x = rows_of(x), .y = rows_of(y), .rows = row_count(x)};
}

NormArgs rms_norm_args(const NormCall& call) {
    const View<const float>& x = call.x;
    check_shape(call.y, x.shape(), "rms_norm: y");
    check(x.rank() == 2 && x.dim(1) > 0, "rms_norm: expected x [R, C], found ", x.shape());
    check_rows(x, "rms_norm: x");
    check_rows(call.y, "rms_norm: y");
    return norm_args(call, nullptr);
}

NormArgs layer_norm_args(const NormCall& call, const float* bias) {
    check_shape(call.y, call.x.shape(), "layer_norm: y");
    return norm_args(call, bias);
}

AttentionArgs attention_args(const AttentionCall& call) {
    const auto& [q, keys, values, kv_heads, capacity, past, out, scratch, block] = call;
    const Index T = q.dim(0), heads = q.dim(1), D = q.dim(2), slots = past + T;
    check_shape(out, q.shape(), "attention: out");
    check(q.stride(1) == D && out.stride(1) == D, "attention: heads must lie side by side");
    check_rows(q, "attention: q");
    check_rows(out, "attention: out");
    check(T > 0 && kv_heads > 0 && heads % kv_heads == 0, "attention: ", heads,
          " query heads do not share ", kv_heads, " KV heads evenly");
    check(slots <= capacity, "attention: ", slots, " slots are more than the cache's ",
          capacity);
    return {.q = rows_of(q),
            .keys = keys,
            .values = values,
            .out = rows_of(out),
            .tokens = to_int(T),
            .past = to_int(past),
            .capacity = to_int(capacity),
            .heads = to_int(heads),
            .kv_heads = to_int(kv_heads),
            .head_dim = to_int(D),
            .group = to_int(heads / kv_heads),
            .slots = to_int(slots),
            .tiles = to_int((slots + kTile - 1) / kTile)};
}

ElementwiseArgs elementwise_args(const View<const float>& x,
                                 const View<float>& y,
                                 const char* what) {
    check_shape(y, x.shape(), what);
    return {.x = rows_of(x), .y = rows_of(y), .rows = row_count(x), .width = to_int(x.dim(1))};
}

ElementwiseArgs swiglu_args(const View<const float>& gate_up, const View<float>& hidden) {
    const Index F = hidden.dim(1);
    check_shape(gate_up, {hidden.dim(0), 2 * F}, "swiglu: gate_up");
    return {.x = rows_of(gate_up),
            .y = rows_of(hidden),
            .rows = row_count(hidden),
            .width = to_int(F)};
}

GatherArgs gather_args(const DeviceMatrix& table,
                       std::span<const Token> tokens,
                       const View<float>& x) {
    check_shape(x, {std::ssize(tokens), table.depth()}, "gather: x");
    for (Token token : tokens)
        check(token >= 0 && token < table.outputs(), "token ", token,
              " is outside of the vocabulary of ", table.outputs());
    return {.table = table.weights(), .tokens = nullptr, .x = rows_of(x), .rows = row_count(x)};
}

RotateArgs rotate_args(const View<float>& heads,
                       const RopeTable* table,
                       std::span<const Index> positions,
                       float factor) {
    const Index R = heads.dim(0), H = heads.dim(1), D = heads.dim(2);
    check(std::ssize(positions) == R, "rotate: ", positions.size(), " positions for ", R,
          " rows");
    check(heads.stride(1) == D && heads.stride(2) == 1, "rotate: heads must lie side by side");
    for (const Index position : positions)
        check(table == nullptr || (position >= 0 && position < table->positions()),
              "rotate: position ", position, " is outside of the model's context of ",
              table == nullptr ? 0 : table->positions());
    const Index rope_dim = table == nullptr ? 0 : table->rope_dim() / 2 * 2;
    return {.heads = rows_of(heads),
            .cosines = nullptr,
            .sines = nullptr,
            .factor = factor,
            .rows = to_int(R),
            .n_heads = to_int(H),
            .head_dim = to_int(D),
            .rope_dim = to_int(rope_dim)};
}

AppendArgs append_args(const View<const float>& k,
                       const View<const float>& v,
                       const KvShape& shape,
                       Index tokens,
                       Index capacity) {
    check_shape(k, {tokens, shape.kv_heads, shape.head_dim}, "cuda cache: k");
    check_shape(v, k.shape(), "cuda cache: v");
    check(k.stride(1) == shape.head_dim && v.stride(1) == shape.head_dim &&
              k.stride(0) == v.stride(0),
          "cuda cache: heads must lie side by side");
    return {.k = rows_of(k),
            .v = rows_of(v),
            .keys = nullptr,
            .values = nullptr,
            .tokens = to_int(tokens),
            .kv_heads = to_int(shape.kv_heads),
            .head_dim = to_int(shape.head_dim),
            .capacity = to_int(capacity),
            .first = 0};
}

}  // namespace kernels

}  // namespace kvlab
