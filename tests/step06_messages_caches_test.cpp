// What caches of codes and of latents say when they refuse, word for word,
// and beside it the last value that is still taken.
#include <doctest/doctest.h>

#include <algorithm>
#include <limits>

#include <kvlab/attention/wrapped_engine.hpp>
#include <kvlab/kvcache/judge.hpp>
#include <kvlab/quant/coded_rows.hpp>
#include <kvlab/quant/edited_weights.hpp>
#include <kvlab/quant/expand_kernels.hpp>
#include <kvlab/quant/gptq.hpp>
#include <kvlab/quant/int8_engine.hpp>
#include <kvlab/quant/int8_matrix.hpp>
#include <kvlab/quant/latent_rows.hpp>
#include <kvlab/quant/linear_algebra.hpp>
#include <kvlab/quant/lloyd_max.hpp>
#include <kvlab/quant/low_rank.hpp>
#include <kvlab/quant/recent_rows.hpp>
#include <kvlab/quant/smooth.hpp>
#include <kvlab/quant/weight_codec.hpp>

#include "element_checks.hpp"
#include "models.hpp"
#include "quant_rig.hpp"
#include "quant_support.hpp"
#include "random_data.hpp"
#include "store_misuse.hpp"

namespace kvlab::test {

namespace {

constexpr float kInfiniteCaches = std::numeric_limits<float>::infinity();

const KvShape kHeadsOf32{2, 4, 2, 32};

}  // namespace

TEST_SUITE_BEGIN("step06");

TEST_CASE("messages: a quantised cache's shape, options, steps and numbers") {
    const auto make = [](const KvShape& shape, Index capacity, const QuantOptions& options) {
        return std::make_unique<KvCache>(shape, capacity, coded_rows(options));
    };
    const QuantOptions q8_0 = both(&formats::q8_0);
    CHECK_NOTHROW(make(kHeadsOf32, 1, q8_0));
    CHECK_THROWS_WITH_AS(make(kHeadsOf32, 0, q8_0),
                         "kv cache: capacity must be positive, found 0", Error);
    CHECK_THROWS_WITH_AS(make({2, 4, 0, 32}, 8, q8_0),
                         "kv cache: KV heads: expected 1 to 4096, found 0", Error);
    QuantOptions rotated = both(&formats::f16);
    rotated.turn = true;
    CHECK_NOTHROW(make(kHeadsOf32, 8, rotated));
    CHECK_THROWS_WITH_AS(make({2, 4, 2, 24}, 8, rotated),
                         "hadamard: a head_dim of 24 is no power of two", Error);
    const RopeTable rope(8, 32, 10000.0);
    const auto before_rope = [&](bool rotate, Index capacity) {
        QuantOptions options = both(&formats::f16);
        options.before_rope = true;
        options.turn = rotate;
        return std::make_unique<KvCache>(kHeadsOf32, capacity, coded_rows(options), &rope);
    };
    CHECK_NOTHROW(before_rope(false, 8));
    CHECK_THROWS_WITH_AS(before_rope(true, 8),
                         "coded rows: keys before RoPE cannot be turned behind it", Error);
    CHECK_THROWS_WITH_AS(before_rope(false, 9),
                         "kv cache: keys before RoPE need a model with RoPE of 9 positions",
                         Error);

    const auto cache = make(kHeadsOf32, 8, q8_0);
    Tensor rows({3, 2, 32});
    rows(2, 1, 31) = 127.0f;
    cache->begin(3);
    for (const Index layer : {0, 1}) cache->append(layer, rows.view(), rows.view());
    cache->commit();
    CHECK(cache->key(1, 1, 2, 31) == 127.0f);
    CHECK(cache->value(1, 1, 2, 31) == 127.0f);
    check_elements(*cache, "kv cache", {2, 2, 3, 32});
}

TEST_CASE("messages: latents are kept as numbers or bytes and move with all heads alone") {
    const auto weights = make_synthetic(small_config(4, 2, 32), 80);
    const auto engine = make_cpu_engine();
    const std::shared_ptr<const Model> model = load_model(*weights, *engine);
    const LatentRanks ranks{{3, 4}, {5, 6}};
    const auto plan = [&](Format format) {
        return std::make_shared<const LatentPlan>(model, find_bases(*weights), ranks, format);
    };
    CHECK_THROWS_WITH_AS(plan(&formats::q8_0), "latents: kept as f32 or int8, not as q8_0",
                         Error);
    for (const Format format : {&formats::f32, &formats::int8}) {
        const auto of = plan(format);
        const auto make = [&] { return make_latent_cache(of, 20); };
        check_step_protocol(make, HostRows(of->shape));
        const auto cache = make();
        run_step(*cache, HostRows(of->shape), 3);
        check_elements(*cache, "kv cache", {2, 2, 3, 32});
        const auto rows = latent_rows(of)({1, 64, 2, 32});
        CHECK_THROWS_WITH_AS(rows->copy_slot(0, 0, 1),
                             "latents: all heads of a token are one latent, and a policy takes "
                             "single heads",
                             Error);
        CHECK_THROWS_WITH_AS(rows->copy_from(*latent_rows(of)({0, 64, 2, 32}), 1),
                             "latents: copy between different ranks", Error);
    }
}

TEST_CASE("messages: the texts of what has no cache") {
    const Tensor one({3, 32});
    CHECK_THROWS_WITH_AS(seen_rows(one, &formats::kivi4, true, 0, 0),
                         "seen rows: a residual of 0 tokens", Error);
    CHECK_NOTHROW(seen_rows(one, &formats::q8_0, true, 0, 0));
}

TEST_CASE("messages: sinks are numbers and lie in the first slots") {
    Tensor rows({1, 2, 32}), fine({1, 2, 32});
    rows(0, 1, 3) = kInfiniteCaches;
    QuantOptions options = both(&formats::q4_0);
    options.sinks = 1;
    const char* const said = "q4_0 cache: a number is not finite";
    CodedRows slots(options, 64, 2, 32);
    CHECK_THROWS_WITH_AS(slots.write(0, 0, rows.view(), fine.view()), said, Error);
    CHECK_THROWS_WITH_AS(slots.write(0, 0, fine.view(), rows.view()), said, Error);
    CHECK_NOTHROW(slots.write(0, 0, fine.view(), fine.view()));
    CHECK_NOTHROW(slots.write(1, 1, fine.view(), fine.view()));
    CHECK_THROWS_WITH_AS(slots.write(1, 0, fine.view(), fine.view()),
                         "coded rows: a sink in slot 1, which is above its position", Error);

    const auto copy = [&](const LayerRows& from) { slots.copy_from(from, 2); };
    CHECK_NOTHROW(copy(*slots.make(64)));
    CHECK_THROWS_WITH_AS(copy(KvTiles(64, 2, 32)),
                         "rows: copy between different kinds or shapes", Error);
    const char* const other = "coded rows: copy between different kinds";
    QuantOptions changed = options;
    changed.sinks = 2;
    CHECK_THROWS_WITH_AS(copy(CodedRows(changed, 64, 2, 32)), other, Error);
    changed = options;
    changed.turn = true;
    CHECK_THROWS_WITH_AS(copy(CodedRows(changed, 64, 2, 32)), other, Error);
}

TEST_CASE("messages: what waits as f16 has to fit into it") {
    RecentRows rows(4, 1, 2);
    std::vector<float> row = {1.0f, 65519.0f};
    rows.write(0, 0, row);
    CHECK(row[1] == 65504.0f);
    row[1] = 65520.0f;
    CHECK_THROWS_WITH_AS(rows.write(0, 0, row), "kivi cache: 65520 does not fit into f16",
                         Error);
    row[1] = -kInfiniteCaches;
    CHECK_THROWS_WITH_AS(rows.write(0, 0, row), "kivi cache: -inf does not fit into f16",
                         Error);
}

TEST_SUITE_END();

}  // namespace kvlab::test
