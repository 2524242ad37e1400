#include "rank_matrix.hpp"

#include <algorithm>
#include <string_view>

#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

Index RankMatrix::bytes() const {
    Index sum = 0;
    for (const Piece& piece : pieces) sum += piece.matrix->bytes();
    return sum;
}

namespace {

struct TensorRole {
    std::string_view name;  // of a layer: what follows "blk.N."
    Role role;
};

constexpr TensorRole kRoles[] = {
    {"token_embd.weight", Role::vocabulary}, {"output.weight", Role::vocabulary},
    {"position_embd.weight", Role::whole},   {"attn_q.weight", Role::heads},
    {"attn_k.weight", Role::heads},          {"attn_v.weight", Role::heads},
    {"attn_qkv.weight", Role::heads},        {"attn_output.weight", Role::from_heads},
    {"ffn_gate.weight", Role::hidden},       {"ffn_up.weight", Role::hidden},
    {"ffn_down.weight", Role::from_hidden},
};

std::string_view without_layer(std::string_view name) {
    if (!name.starts_with("blk.")) return name;
    return name.substr(name.find('.', 4) + 1);
}

Role role_of(const TensorInfo& tensor) {
    const auto found = std::ranges::find(kRoles, without_layer(tensor.name), &TensorRole::name);
    check(found != std::end(kRoles), "parallel engine: nobody knows how to split tensor '",
          tensor.name, "'");
    return found->role;
}

Range head_columns(Range heads, Index head_dim) {
    return {heads.first * head_dim, heads.count * head_dim};
}

// The rows of this tensor that a rank keeps, in the order in which they stand there.
std::vector<Range> rank_rows(const TensorInfo& tensor, const ParallelPlan& plan, Index rank) {
    const RankShare& share = plan.share(rank);
    const Config& c = plan.config();
    const Range q = head_columns(share.heads, c.head_dim),
                kv = head_columns(share.kv_heads, c.head_dim);
    switch (role_of(tensor)) {
        case Role::vocabulary:
            return {share.vocab};
        case Role::whole:
            return {{0, tensor.shape[0]}};
        case Role::hidden:
            return {share.ffn};
        case Role::from_heads:
        case Role::from_hidden:
            return {share.width};
        case Role::heads:
            break;
    }
    const std::string_view name = without_layer(tensor.name);
    if (name == "attn_q.weight") return {q};
    if (name != "attn_qkv.weight") return {kv};
    const Index keys = c.heads * c.head_dim, values = keys + c.kv_heads * c.head_dim;
    return {q, {keys + kv.first, kv.count}, {values + kv.first, kv.count}};
}

// Some rows of a tensor, where they lie.
TensorInfo row_range(const TensorInfo& tensor, Range rows) {
    const Index K = tensor.shape[1], row_bytes = bytes_for(tensor.type, K);
    TensorInfo part = tensor;
    part.shape = {rows.count, K};
    part.bytes =
        tensor.bytes.subspan(usize(rows.first * row_bytes), usize(rows.count * row_bytes));
    return part;
}

void check_matrix(const TensorInfo& tensor) {
    check(tensor.shape.rank() == 2 &&
              std::ssize(tensor.bytes) ==
                  tensor.shape[0] * bytes_for(tensor.type, tensor.shape[1]),
          tensor.name, ": expected a matrix and its bytes, found ", tensor.shape);
}

// Whole rows. The outputs that stay on their rank lie where the decoder looks for them; those
// of gate and up, which it never looks at, one after the other at the beginning.
void load_rows(RankMatrix& matrix,
               Engine& engine,
               const ParallelPlan& plan,
               Index rank,
               std::span<const TensorInfo* const> parts) {
    Index before = 0, packed = 0;
    for (const TensorInfo* tensor : parts) {
        for (const Range rows : rank_rows(*tensor, plan, rank)) {
            if (rows.count == 0) continue;
            const TensorInfo part = row_range(*tensor, rows);
            const TensorInfo* const one[] = {&part};
            const Index place = matrix.role == Role::hidden ? packed : before + rows.first;
            matrix.pieces.push_back(
                {{before + rows.first, rows.count}, place, engine.load_matrix(one)});
            packed += rows.count;
        }
        before += tensor->shape[0];
    }
}

// The inputs [first, first + count) of all rows. Where a block of the format is larger than
// that, its numbers become floats: the same values (contract, rule 6).
std::unique_ptr<Matrix> load_columns(Engine& engine, const TensorInfo& tensor, Range columns) {
    const Index N = tensor.shape[0], K = tensor.shape[1];
    const bool cuts = kSumBlock % block_elements(tensor.type) == 0;
    const TensorType type = cuts ? tensor.type : TensorType::f32;
    const Tensor floats = cuts ? Tensor() : to_f32(tensor);
    const std::span<const std::byte> from = cuts ? tensor.bytes : std::as_bytes(floats.flat());
    const Index row = bytes_for(type, K), skip = bytes_for(type, columns.first);
    const Index width = bytes_for(type, columns.count);
    std::vector<std::byte> bytes(usize(N * width));
    for (Index n = 0; n < N; ++n)
        std::copy_n(from.begin() + n * row + skip, width, bytes.begin() + n * width);
    TensorInfo part{tensor.name, type, {N, columns.count}, bytes};
    const TensorInfo* const one[] = {&part};
    return engine.load_matrix(one);
}

// One piece for each block of 64 inputs that this rank sums.
void load_blocks(RankMatrix& matrix, Engine& engine, const TensorInfo& tensor, Range inputs) {
    for (Index k = inputs.first; k < inputs.end(); k += kSumBlock) {
        const Range block{k, std::min(kSumBlock, inputs.end() - k)};
        matrix.pieces.push_back({block, 0, load_columns(engine, tensor, block)});
    }
}

}  // namespace

std::unique_ptr<RankMatrix> load_rank_matrix(Engine& engine,
                                             const ParallelPlan& plan,
                                             Index rank,
                                             SumWay way,
                                             std::span<const TensorInfo* const> parts) {
    check(!parts.empty(), "parallel engine: no tensors");
    Index outputs = 0;
    const Role role = role_of(*parts[0]);
    for (const TensorInfo* tensor : parts) {
        check_matrix(*tensor);
        outputs += tensor->shape[0];
        check(role_of(*tensor) == role, "parallel engine: tensors '", parts[0]->name, "' and '",
              tensor->name, "' are not split alike");
    }
    auto matrix = std::make_unique<RankMatrix>(role, outputs, parts[0]->shape[1]);
    const RankShare& share = plan.share(rank);
    const bool sums = role == Role::from_heads || role == Role::from_hidden;
    if (sums && way != SumWay::gather)
        load_blocks(*matrix, engine, *parts[0],
                    role == Role::from_heads ? share.mixed_blocks : share.ffn);
    else
        load_rows(*matrix, engine, plan, rank, parts);
    return matrix;
}

}  // namespace kvlab
