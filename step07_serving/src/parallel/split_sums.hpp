// split_sums.hpp - chapter 7: a product whose input is spread over the ranks, with the bits of
// one process.
//
// A sum of the contract runs in blocks of 64 inputs: b0 = block 0, b1 = block 1, ..., and the
// total is ((b0 + b1) + b2) + ... So it may be cut between blocks, if they are added in order:
//
//   blocks   rank 0 has b0 b1, rank 1 has b2. Everybody gets b0 b1 b2 and adds them.
//   chain    rank 0 sends t = b0 + b1 to rank 1, which sends t + b2 to everybody.
//
// What everybody else does changes bits:
//
//   totals   rank 0 has b0 + b1, rank 1 has b2 + b3: (b0 + b1) + (b2 + b3) is another order of
//   the
//            same numbers. It is here to be compared.
#pragma once

#include "rank_matrix.hpp"
#include "travel.hpp"

namespace kvlab {

class SplitSums {
public:
    SplitSums(Engine& engine, Travel& travel, const ParallelPlan& plan, SumWay way);

    // y [R, C] = x [R, K] * w transposed, plus bias unless null; x has this rank's columns
    // alone, and y is whole on all ranks.
    void linear(const RankMatrix& w,
                const float* bias,
                const View<const float>& x,
                const View<float>& y);

private:
    void gather_inputs(const RankMatrix& w,
                       const float* bias,
                       const View<const float>& x,
                       const View<float>& y);
    void add_blocks(const std::vector<Range>& owners, const View<float>& y);
    void add_totals(const std::vector<Range>& owners, const View<float>& y);
    void pass_on(const std::vector<Range>& owners, const View<float>& y);
    std::span<const float> block_sums(const RankMatrix& w, const View<const float>& x, Index C);
    void add_in_order(const float* sums, Index blocks, bool begin, const View<float>& y);

    Engine& engine_;
    Travel& travel_;
    SumWay way_;
    std::vector<Range> mixed_, mixed_blocks_, ffn_, width_;  // [ranks]
    Scratch sums_;
    std::span<const float> own_;  // the block sums of this rank [blocks, R, C]
};

}  // namespace kvlab
