#include "split_sums.hpp"

#include <algorithm>

#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

SplitSums::SplitSums(Engine& engine, Travel& travel, const ParallelPlan& plan, SumWay way)
    : engine_(engine),
      travel_(travel),
      way_(way),
      mixed_(plan.mixed()),
      mixed_blocks_(plan.all(&RankShare::mixed_blocks)),
      ffn_(plan.all(&RankShare::ffn)),
      width_(plan.all(&RankShare::width)),
      sums_(engine) {}

void SplitSums::linear(const RankMatrix& w,
                       const float* bias,
                       const View<const float>& x,
                       const View<float>& y) {
    if (way_ == SumWay::gather) return gather_inputs(w, bias, x, y);
    const bool heads = w.role == Role::from_heads;
    own_ = block_sums(w, heads ? travel_.lent(mixed_, mixed_blocks_, x) : x, y.dim(1));
    const std::vector<Range>& owners = heads ? mixed_blocks_ : ffn_;
    if (way_ == SumWay::blocks) add_blocks(owners, y);
    if (way_ == SumWay::chain) pass_on(owners, y);
    if (way_ == SumWay::totals) add_totals(owners, y);
    if (bias == nullptr) return;
    const View<const float> row(bias, {1, y.dim(1)});
    for (Index r = 0; r < y.dim(0); ++r) engine_.add(row, y.slice(0, r, r + 1));
}

// ANCHOR: gather_inputs
void SplitSums::gather_inputs(const RankMatrix& w,
                              const float* bias,
                              const View<const float>& x,
                              const View<float>& y) {
    const View<const float> whole =
        travel_.gathered(w.role == Role::from_heads ? mixed_ : ffn_, x);
    for (const Piece& piece : w.pieces)
        engine_.linear(*piece.matrix, bias == nullptr ? nullptr : bias + piece.part.first,
                       whole, y.slice(1, piece.part.first, piece.part.end()));
    travel_.gather_columns(width_, y, y);
}

// ANCHOR_END: gather_inputs

// A product with 64 inputs is one block of the sum.
std::span<const float> SplitSums::block_sums(const RankMatrix& w,
                                             const View<const float>& x,
                                             Index C) {
    const Index R = x.dim(0), blocks = std::ssize(w.pieces);
    float* const sums = sums_.floats(blocks * R * C);
    for (Index b = 0; b < blocks; ++b) {
        const Piece& piece = at(w.pieces, b);
        engine_.linear(*piece.matrix, nullptr, x.slice(1, piece.part.first, piece.part.end()),
                       View<float>(sums + b * R * C, {R, C}));
    }
    return {sums, usize(blocks * R * C)};
}

// Adds so many block sums to y, in order; or begins y with them.
void SplitSums::add_in_order(const float* sums,
                             Index blocks,
                             bool begin,
                             const View<float>& y) {
    const Index R = y.dim(0), C = y.dim(1);
    for (Index b = 0; b < blocks; ++b) {
        const View<const float> block(sums + b * R * C, {R, C});
        if (b > 0 || !begin) {
            engine_.add(block, y);
            continue;
        }
        // The total begins as the first block, not as 0 plus it: 0 + -0 is +0.
        for (Index r = 0; r < R; ++r) std::copy_n(&block(r, 0), C, &y(r, 0));
    }
}

// ANCHOR: add_blocks
void SplitSums::add_blocks(const std::vector<Range>& owners, const View<float>& y) {
    std::vector<Index> counts;
    Index blocks = 0;
    for (const Range& inputs : owners) {
        const Index count = blocks_for(inputs.count, kSumBlock);
        counts.push_back(count * y.size());
        blocks += count;
    }
    add_in_order(travel_.gather(own_, counts).data(), blocks, true, y);
}

// ANCHOR_END: add_blocks

// ANCHOR: add_totals
void SplitSums::add_totals(const std::vector<Range>& owners, const View<float>& y) {
    std::vector<Index> counts;
    Index totals = 0;
    for (const Range& inputs : owners) {
        counts.push_back(inputs.count > 0 ? y.size() : 0);
        totals += inputs.count > 0 ? 1 : 0;
    }
    const Index mine = at(counts, travel_.ranks().rank());
    add_in_order(own_.data(), std::ssize(own_) / y.size(), true, y);
    const std::span<const float> own = span_of<const float>(y.data(), mine);
    add_in_order(travel_.gather(own, counts).data(), totals, true, y);
}

// ANCHOR_END: add_totals

// ANCHOR: pass_on
void SplitSums::pass_on(const std::vector<Range>& owners, const View<float>& y) {
    Ranks& ranks = travel_.ranks();
    const auto has_blocks = [&](Index rank) { return at(owners, rank).count > 0; };
    Index before = ranks.rank() - 1, after = ranks.rank() + 1, last = ranks.size() - 1;
    while (before >= 0 && !has_blocks(before)) --before;
    while (after < ranks.size() && !has_blocks(after)) ++after;
    while (!has_blocks(last)) --last;
    const std::span<float> total = y.flat();
    if (has_blocks(ranks.rank())) {
        const Index blocks = blocks_for(at(owners, ranks.rank()).count, kSumBlock);
        if (before >= 0) ranks.receive(before, std::as_writable_bytes(total));
        add_in_order(own_.data(), blocks, before < 0, y);
        if (after < ranks.size()) ranks.send(after, std::as_bytes(total));
    }
    std::vector<Index> counts(usize(ranks.size()), 0);
    at(counts, last) = y.size();
    const std::span<const float> mine =
        ranks.rank() == last ? std::span<const float>(total) : std::span<const float>();
    const std::span<const float> all = travel_.gather(mine, counts);
    std::copy(all.begin(), all.end(), total.begin());
}

// ANCHOR_END: pass_on

}  // namespace kvlab
