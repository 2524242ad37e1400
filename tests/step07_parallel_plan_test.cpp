// Who has what, for many models and any number of ranks: everything once, in order.
#include <doctest/doctest.h>

#include <kvlab/serving/parallel_plan.hpp>

#include "models.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

// The shape of SmolLM2-135M.
Config smollm2_config() {
    Config c;
    c.vocab = 49152;
    c.dim = 576;
    c.layers = 30;
    c.heads = 9;
    c.kv_heads = 3;
    c.head_dim = 64;
    c.ffn = 1536;
    c.context = 8192;
    c.rope_dim = 64;
    c.tied_output = true;
    return c;
}

// In rank order, one after the other, [0, count) altogether; cut at multiples of `unit`.
void check_whole(const std::vector<Range>& ranges, Index count, Index unit) {
    Index next = 0;
    for (const Range& range : ranges) {
        CHECK(range.first == next);
        CHECK(range.count >= 0);
        CHECK((range.first % unit == 0 || range.first == count));
        next = range.end();
    }
    CHECK(next == count);
}

void check_even(const std::vector<Range>& ranges, Index unit) {
    Index least = 1 << 30, most = 0;
    for (const Range& range : ranges) {
        least = std::min(least, blocks_for(range.count, unit));
        most = std::max(most, blocks_for(range.count, unit));
    }
    CHECK(most - least <= 1);
}

}  // namespace

TEST_SUITE_BEGIN("step07");

TEST_CASE("parallel plan: everything has one owner and cuts lie between panels") {
    for (const Config& c : {tiny_config(), smollm2_config(), small_config(), small_gpt2(),
                            small_config(4, 1), small_config(6, 3, 24)})
        for (Index ranks = 1; ranks <= 17; ++ranks) {
            CAPTURE(c.dim);
            CAPTURE(ranks);
            const ParallelPlan plan(c, ranks);
            check_whole(plan.all(&RankShare::kv_heads), c.kv_heads, 1);
            check_whole(plan.all(&RankShare::heads), c.heads, c.group());
            check_whole(plan.all(&RankShare::width), c.dim, 64);
            check_whole(plan.all(&RankShare::ffn), c.ffn, 64);
            check_whole(plan.all(&RankShare::vocab), c.vocab, 64);
            check_whole(plan.mixed(), c.heads * c.head_dim, c.head_dim);
            check_whole(plan.all(&RankShare::mixed_blocks), c.heads * c.head_dim, 64);
            check_even(plan.all(&RankShare::kv_heads), 1);
            check_even(plan.all(&RankShare::width), 64);
            check_even(plan.all(&RankShare::ffn), 64);
            check_even(plan.all(&RankShare::vocab), 64);
        }
}

TEST_CASE("parallel plan: the first ranks have heads and the last ones what is left over") {
    const ParallelPlan plan(smollm2_config(), 4);
    const RankShare first = plan.share(0), last = plan.share(3);
    CHECK(first.kv_heads == Range{0, 1});
    CHECK(first.heads == Range{0, 3});
    CHECK(first.width == Range{0, 128});  // 9 units of 64
    CHECK(first.ffn == Range{0, 384});    // 24 units
    CHECK(first.vocab == Range{0, 12288});
    CHECK(first.mixed_blocks == Range{0, 192});
    CHECK(last.kv_heads.count == 0);
    CHECK(last.heads.count == 0);
    CHECK(last.mixed_blocks.count == 0);
    CHECK(last.width == Range{384, 192});
    CHECK(last.ffn == Range{1152, 384});
    CHECK(last.vocab == Range{36864, 12288});
    // More ranks than units: some have nothing at all.
    const ParallelPlan many(tiny_config(), 8);
    CHECK(many.share(0).ffn.count == 0);
    CHECK(many.share(7).ffn == Range{128, 44});
    CHECK(many.share(7).width == Range{0, 64});
}

TEST_CASE(
    "parallel plan: a head that ends inside of a block is summed where the block begins") {
    const ParallelPlan plan(tiny_config(), 2);  // one block of 64 for two ranks of 32 inputs
    CHECK(plan.mixed() == std::vector<Range>{{0, 32}, {32, 32}});
    CHECK(plan.all(&RankShare::mixed_blocks) == std::vector<Range>{{0, 64}, {64, 0}});
}

TEST_CASE("parallel plan: bytes of a step in closed form") {
    const Config c = smollm2_config();
    const auto bytes = [&](Index ranks, SumWay way, Index rows, Index wanted) {
        return step_bytes(ParallelPlan(c, ranks), way, rows, wanted);
    };
    for (const SumWay way : {SumWay::gather, SumWay::blocks, SumWay::chain, SumWay::totals})
        CHECK(bytes(1, way, 5, 5) == 0);
    // A token: its embedding, 30 layers, its logits.
    CHECK(bytes(2, SumWay::gather, 1, 1) == 4 * (576 + 30 * (576 + 576 + 1536 + 576) + 49152));
    CHECK(bytes(2, SumWay::blocks, 1, 1) == 4 * (576 + 30 * (9 * 576 + 24 * 576) + 49152));
    CHECK(bytes(2, SumWay::chain, 1, 1) ==
          4 * (576 + 30 * (2 * 576) + 49152) + 4 * 30 * (576 + 576));
    // Twice as far to go for twice as many others; a prompt wants the logits of one row.
    CHECK(bytes(3, SumWay::gather, 1, 1) == 2 * bytes(2, SumWay::gather, 1, 1));
    CHECK(bytes(2, SumWay::gather, 10, 1) ==
          10 * bytes(2, SumWay::gather, 1, 1) - 9 * 4 * 49152);
    // The fourth rank has no heads: the total of the output projection is handed on twice, that
    // of the down projection three times.
    CHECK(bytes(4, SumWay::chain, 1, 1) ==
          3 * 4 * (576 + 30 * (2 * 576) + 49152) + 4 * 30 * (2 + 3) * 576);
    CHECK(bytes(4, SumWay::totals, 1, 1) == 3 * 4 * (576 + 30 * (3 + 4) * 576 + 49152));
    // tiny on two ranks: 32 inputs of the only block of the output projection move.
    const ParallelPlan tiny(tiny_config(), 2);
    CHECK(step_bytes(tiny, SumWay::blocks, 1, 1) ==
          4 * (64 + 2 * (64 + 3 * 64) + 256 + 2 * 32));
    CHECK(step_bytes(tiny, SumWay::chain, 1, 1) ==
          4 * (64 + 2 * (64 + 64) + 256 + 2 * (32 + 0 + 64)));
}

TEST_CASE("parallel plan: refusals") {
    CHECK_THROWS_WITH_AS(ParallelPlan(tiny_config(), 0),
                         "parallel plan: expected 1 to 64 ranks, found 0", Error);
    CHECK_THROWS_WITH_AS(ParallelPlan(tiny_config(), 65),
                         "parallel plan: expected 1 to 64 ranks, found 65", Error);
    CHECK_THROWS_WITH_AS(ParallelPlan(tiny_config(), 2).share(2),
                         "parallel plan: there is no rank 2 of 2", Error);
    CHECK_THROWS_WITH_AS(deal(10, 0, 2, 0, LeftOver::to_last),
                         "deal: 10 in units of 0 to rank 0 of 2", Error);
}

TEST_SUITE_END();
