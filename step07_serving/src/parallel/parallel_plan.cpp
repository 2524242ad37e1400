#include <kvlab/serving/parallel_plan.hpp>

#include <algorithm>

#include <kvlab/tensor/numerics.hpp>
#include <kvlab/tensor/tensor_kernels.hpp>

namespace kvlab {

const char* way_name(SumWay way) {
    switch (way) {
        case SumWay::gather:
            return "gather";
        case SumWay::blocks:
            return "blocks";
        case SumWay::chain:
            return "chain";
        case SumWay::totals:
            return "totals";
    }
    throw Error("there is no such way to add");
}

// ANCHOR: deal
Range deal(Index count, Index unit, Index ranks, Index rank, LeftOver left_over) {
    check(count >= 0 && unit > 0 && rank >= 0 && rank < ranks, "deal: ", count, " in units of ",
          unit, " to rank ", rank, " of ", ranks);
    const Index units = blocks_for(count, unit), each = units / ranks, left = units % ranks;
    const Index without = left_over == LeftOver::to_first ? 0 : ranks - left;  // served later
    const auto dealt_before = [&](Index r) {
        return r * each + std::clamp(r - without, Index{0}, left);
    };
    const Index first = std::min(dealt_before(rank) * unit, count);
    return {first, std::min(dealt_before(rank + 1) * unit, count) - first};
}

// ANCHOR_END: deal

namespace {

// From the first block that begins in one of these inputs to the first one that begins later.
Range blocks_that_begin_in(Range inputs, Index count) {
    const auto next_border = [&](Index i) {
        return std::min(blocks_for(i, kSumBlock) * kSumBlock, count);
    };
    const Index first = next_border(inputs.first);
    return {first, next_border(inputs.end()) - first};
}

RankShare share_of(const Config& c, Index ranks, Index rank) {
    RankShare share;
    share.kv_heads = deal(c.kv_heads, 1, ranks, rank, LeftOver::to_first);
    share.heads = {share.kv_heads.first * c.group(), share.kv_heads.count * c.group()};
    share.width = deal(c.dim, kPanel, ranks, rank, LeftOver::to_last);
    share.ffn = deal(c.ffn, kPanel, ranks, rank, LeftOver::to_last);
    share.vocab = deal(c.vocab, kPanel, ranks, rank, LeftOver::to_last);
    share.mixed_blocks = blocks_that_begin_in(
        {share.heads.first * c.head_dim, share.heads.count * c.head_dim}, c.heads * c.head_dim);
    return share;
}

}  // namespace

ParallelPlan::ParallelPlan(const Config& config, Index ranks) : config_(config) {
    check(ranks >= 1 && ranks <= 64, "parallel plan: expected 1 to 64 ranks, found ", ranks);
    config.validate("parallel plan");
    for (Index rank = 0; rank < ranks; ++rank) shares_.push_back(share_of(config, ranks, rank));
}

const RankShare& ParallelPlan::share(Index rank) const {
    check(rank >= 0 && rank < ranks(), "parallel plan: there is no rank ", rank, " of ",
          ranks());
    return at(shares_, rank);
}

std::vector<Range> ParallelPlan::all(Range RankShare::*kind) const {
    std::vector<Range> ranges;
    for (const RankShare& share : shares_) ranges.push_back(share.*kind);
    return ranges;
}

std::vector<Range> ParallelPlan::mixed() const {
    std::vector<Range> ranges = all(&RankShare::heads);
    for (Range& range : ranges)
        range = {range.first * config_.head_dim, range.count * config_.head_dim};
    return ranges;
}

namespace {

// How often a running total is handed on, until it has been everywhere where there are blocks.
Index hand_overs(const std::vector<Range>& blocks) {
    return std::ranges::count_if(blocks, [](const Range& r) { return r.count > 0; }) - 1;
}

// Inputs that are computed on one rank and summed on another one.
Index strangers(const std::vector<Range>& computed, const std::vector<Range>& summed) {
    Index count = 0;
    for (std::size_t rank = 0; rank < computed.size(); ++rank) {
        const Range& a = computed[rank];
        const Range& b = summed[rank];
        const Index both = std::min(a.end(), b.end()) - std::max(a.first, b.first);
        count += b.count - std::max(both, Index{0});
    }
    return count;
}

}  // namespace

// ANCHOR: step_bytes
Index step_bytes(const ParallelPlan& plan, SumWay way, Index rows, Index wanted) {
    const Config& c = plan.config();
    const Index heads = c.heads * c.head_dim, others = plan.ranks() - 1;
    const auto blocks = [](Index inputs) { return blocks_for(inputs, kSumBlock); };
    const std::vector<Range> mixed = plan.all(&RankShare::mixed_blocks);
    const Index passed = hand_overs(mixed) + hand_overs(plan.all(&RankShare::ffn));
    Index to_all = 0, to_one = 0;  // floats of a layer and a row
    if (way == SumWay::gather)
        to_all = heads + c.dim + c.ffn + c.dim;
    else
        to_one = strangers(plan.mixed(), mixed);
    if (way == SumWay::blocks) to_all = (blocks(heads) + blocks(c.ffn)) * c.dim;
    if (way == SumWay::totals) to_all = (passed + 2) * c.dim;
    if (way == SumWay::chain) {
        to_all = 2 * c.dim;
        to_one += passed * c.dim;
    }
    const Index floats = others * (rows * (c.dim + c.layers * to_all) + wanted * c.vocab) +
                         rows * c.layers * to_one;
    return floats * Index{sizeof(float)};
}

// ANCHOR_END: step_bytes

}  // namespace kvlab
