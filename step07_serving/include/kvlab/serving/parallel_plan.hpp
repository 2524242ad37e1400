// parallel_plan.hpp - chapter 7: who computes what, when several processes share one model.
//
// A matrix is split by its OUTPUT rows. Each output is one sum, computed by one rank from its
// beginning to its end, so no sum is cut and no bit can change:
//
//   matrix           rows                  what a rank gets of them
//   query, key,      heads x D             whole KV heads, and the query heads that read them
//   value
//   output           C                     units of 64 rows; its input is all heads
//   gate, up         F                     units of 64 rows, the same of both
//   down             C                     units of 64 rows; its input is the whole F
//   embedding,       V                     units of 64 tokens
//   output matrix
//
// A kernel computes 64 outputs at once (a panel), so a cut inside of a unit would make two
// ranks pay for the whole panel.
//
// There may be more ranks than KV heads. A head's keys and values live on one rank, so the
// surplus ranks, the last ones, have no heads at all and no cache. They take their share of
// everything else. And where units do not divide evenly, the last ranks get one more of them.
#pragma once

#include <vector>

#include <kvlab/attention/config.hpp>

namespace kvlab {

struct Range {
    Index first = 0, count = 0;

    Index end() const { return first + count; }

    bool contains(Index i) const { return i >= first && i < end(); }

    bool operator==(const Range&) const = default;
};

// How the two sums over an input that is spread over the ranks are computed: those of the
// output projection (over all heads) and of the down projection (over F). The first three give
// the bits of one process.
enum class SumWay {
    gather,  // the input travels to everybody; then each rank computes its own outputs
    blocks,  // each rank sums its own blocks of 64 inputs; all block sums travel to everybody
    chain,   // the same, but one running total travels from rank to rank, and back at its end
    totals   // each rank adds its own blocks, and the ranks' totals are added: as an all-reduce
             // does it, and NOT with the same bits, where a later rank has several blocks
};

const char* way_name(SumWay way);

// What one rank has of each kind of row. Ranges of different ranks do not overlap, follow each
// other in rank order, and together are everything.
struct RankShare {
    Range kv_heads;  // of Hkv
    Range heads;     // of Hq: the query heads that read these KV heads
    Range width;     // of C
    Range ffn;       // of F
    Range vocab;     // of V
    // Inputs of the output projection whose blocks of 64 it sums, of Hq D: those blocks whose
    // first input is one of its heads. Only SumWay::blocks and SumWay::chain cut there.
    Range mixed_blocks;
};

class ParallelPlan {
public:
    // Throws Error unless there are 1 to 64 ranks.
    ParallelPlan(const Config& config, Index ranks);

    Index ranks() const { return std::ssize(shares_); }

    const RankShare& share(Index rank) const;

    const Config& config() const { return config_; }

    // One kind of row, of all ranks.
    std::vector<Range> all(Range RankShare::*kind) const;

    // The inputs of the output projection that a rank computed, of Hq D: its heads.
    std::vector<Range> mixed() const;

private:
    Config config_;
    std::vector<RankShare> shares_;
};

// `count` things in units of `unit` (the last one may be smaller), dealt to ranks in order. The
// first ranks, or the last ones, get the units that are left over.
enum class LeftOver { to_first, to_last };
Range deal(Index count, Index unit, Index ranks, Index rank, LeftOver left_over);

// Bytes that all ranks together hand over in a step of `rows` tokens of which `wanted` want
// logits, by formula (contract, float = 4 bytes). With n ranks, and B(x) = x / 64 rounded up:
//
//   gather   4 (n-1) [ rows (C + L (Hq D + C + F + C)) + wanted V ]
//   blocks   4 (n-1) [ rows (C + L (B(Hq D) C + B(F) C)) + wanted V ] + 4 rows L s
//   chain    4 (n-1) [ rows (C + L (C + C)) + wanted V ] + 4 rows L (s + h C)
//   totals   4 (n-1) [ rows (C + L (h + 2) C) + wanted V ] + 4 rows L s
//
// s is the number of inputs of the output projection that are computed on one rank and summed
// on another one, since a head ends inside of a block; 0 where D is a multiple of 64. h is how
// often the two totals are handed on: one time less than there are ranks with blocks.
Index step_bytes(const ParallelPlan& plan, SumWay way, Index rows, Index wanted);

}  // namespace kvlab
