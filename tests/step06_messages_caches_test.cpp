// What caches of codes and of latents say when they refuse, word for word,
// and beside it the last value that is still taken.
#include <doctest/doctest.h>

#include <algorithm>
#include <limits>

#include <kvlab/attention/wrapped_engine.hpp>
#include <kvlab/kvcache/judge.hpp>
#include <kvlab/quant/edited_weights.hpp>
#include <kvlab/quant/expand_kernels.hpp>
#include <kvlab/quant/gptq.hpp>
#include <kvlab/quant/int8_engine.hpp>
#include <kvlab/quant/int8_matrix.hpp>
#include <kvlab/quant/latent_tiles.hpp>
#include <kvlab/quant/linear_algebra.hpp>
#include <kvlab/quant/lloyd_max.hpp>
#include <kvlab/quant/low_rank.hpp>
#include <kvlab/quant/quant_slots.hpp>
#include <kvlab/quant/recent_rows.hpp>
#include <kvlab/quant/smooth.hpp>
#include <kvlab/quant/weight_codec.hpp>

#include "element_checks.hpp"
#include "models.hpp"
#include "quant_rig.hpp"
#include "quant_support.hpp"
#include "random_data.hpp"

namespace kvlab::test {

namespace {

constexpr float kInfiniteCaches = std::numeric_limits<float>::infinity();

const KvShape kHeadsOf32{2, 4, 2, 32};

// attend() outside of a step, before the layer's rows, and with other queries and outputs.
void attend_wrong_steps(KvStore& store, const std::string& name) {
    ThreadPool pool(1);
    const Tensor rows({2, 2, 32}), q({2, 4, 32}), long_q({3, 4, 32});
    Tensor out({2, 4, 32}), long_out({3, 4, 32});
    const auto attend = [&](const Tensor& queries, Tensor& to) {
        store.attend(0, queries.view(), to.view(), pool);
    };
    CHECK_THROWS_WITH_AS(attend(q, out),
                         (name + ": attend() outside of a step, which begin() opens").c_str(),
                         Error);
    store.begin(2);
    CHECK_THROWS_WITH_AS(attend(q, out), (name + ": layer 0 has no keys yet").c_str(), Error);
    store.append(0, rows.view(), rows.view());
    const std::string other = name + ": expected shape [2, 4, 32], found [3, 4, 32]";
    CHECK_THROWS_WITH_AS(attend(long_q, out), other.c_str(), Error);
    CHECK_THROWS_WITH_AS(attend(q, long_out), other.c_str(), Error);
    CHECK_NOTHROW(attend(q, out));
    store.truncate(0);
}

// Layers out of turn, steps that end early or do not fit into 8 slots, and lengths that were
// never reached; `store` is empty.
void misplace_steps(KvStore& store, const std::string& name) {
    const Tensor rows({2, 2, 32});
    const auto append = [&](Index layer) { store.append(layer, rows.view(), rows.view()); };
    const auto refused = [&](auto&& call, const char* said) {
        CHECK_THROWS_WITH_AS(call(), (name + ": " + said).c_str(), Error);
    };
    refused([&] { store.commit(); }, "a step ends with 0 of 2 layers");
    refused([&] { store.begin(0); }, "0 tokens do not fit: 0 of 8 slots are taken");
    refused([&] { store.begin(9); }, "9 tokens do not fit: 0 of 8 slots are taken");
    CHECK_NOTHROW(store.begin(8));
    store.truncate(0);
    store.begin(2);
    refused([&] { append(1); }, "expected layer 0 of 2, found 1");
    refused([&] { append(-1); }, "expected layer 0 of 2, found -1");
    append(0);
    refused([&] { store.commit(); }, "a step ends with 1 of 2 layers");
    append(1);
    refused([&] { append(2); }, "expected layer 2 of 2, found 2");
    store.commit();
    CHECK(store.next_position() == 2);
    refused([&] { store.truncate(3); }, "cannot truncate 2 tokens to 3");
    refused([&] { store.truncate(-1); }, "cannot truncate 2 tokens to -1");
    CHECK_NOTHROW(store.truncate(2));
}

}  // namespace

TEST_SUITE_BEGIN("step06");

TEST_CASE("6.3 messages: a quantised cache's shape, options, steps and numbers") {
    const auto make = [](const KvShape& shape, Index capacity, const QuantOptions& options) {
        return std::make_unique<QuantCache>(shape, capacity, options);
    };
    const QuantOptions q8_0 = both(KvCode::q8_0);
    CHECK_NOTHROW(make(kHeadsOf32, 1, q8_0));
    CHECK_THROWS_WITH_AS(make(kHeadsOf32, 0, q8_0),
                         "quant cache: capacity must be positive, found 0", Error);
    CHECK_THROWS_WITH_AS(make({2, 4, 0, 32}, 8, q8_0),
                         "quant cache: KV heads: expected 1 to 4096, found 0", Error);
    QuantOptions rotated = both(KvCode::f16);
    rotated.rotate = true;
    CHECK_NOTHROW(make(kHeadsOf32, 8, rotated));
    CHECK_THROWS_WITH_AS(make({2, 4, 2, 24}, 8, rotated),
                         "hadamard: a head_dim of 24 is no power of two", Error);
    const RopeTable rope(8, 32, 10000.0);
    const auto before_rope = [&](bool rotate, Index capacity) {
        QuantOptions options = both(KvCode::f16);
        options.before_rope = true;
        options.rotate = rotate;
        return std::make_unique<QuantCache>(kHeadsOf32, capacity, options, &rope);
    };
    CHECK_NOTHROW(before_rope(false, 8));
    CHECK_THROWS_WITH_AS(before_rope(true, 8),
                         "quant cache: keys before RoPE cannot be rotated behind it", Error);
    CHECK_THROWS_WITH_AS(before_rope(false, 9),
                         "quant cache: keys before RoPE need a model with RoPE of 9 positions",
                         Error);

    const auto cache = make(kHeadsOf32, 8, q8_0);
    attend_wrong_steps(*cache, "quant cache");
    Tensor rows({3, 2, 32});
    rows(2, 1, 31) = 127.0f;
    cache->begin(3);
    for (const Index layer : {0, 1}) cache->append(layer, rows.view(), rows.view());
    cache->commit();
    CHECK(cache->key(1, 1, 2, 31) == 127.0f);
    CHECK(cache->value(1, 1, 2, 31) == 127.0f);
    check_elements(*cache, "quant cache", {2, 2, 3, 32});
}

TEST_CASE("6.3 messages: steps and lengths of caches of codes and of latents") {
    QuantCache codes(kHeadsOf32, 8, both(KvCode::q8_0));
    misplace_steps(codes, "quant cache");
    const auto weights = make_synthetic(small_config(4, 2, 32), 80);
    const auto engine = make_cpu_engine();
    const std::shared_ptr<const Model> model = load_model(*weights, *engine);
    const LatentRanks ranks{{3, 4}, {5, 6}};
    const auto latents =
        make_latent_cache(std::make_shared<const LatentPlan>(model, find_bases(*weights), ranks,
                                                             LatentFormat::f32),
                          8);
    misplace_steps(*latents, "latents");
}

TEST_CASE("6.3 messages: the texts of what has no cache") {
    UncachedQuant store(kHeadsOf32, 4, both(KvCode::q8_0));
    CHECK_NOTHROW(store.begin(1));
    CHECK_NOTHROW(store.begin(4));
    store.commit();
    CHECK_THROWS_WITH_AS(store.begin(0), "uncached quant: 0 tokens, room for 4", Error);
    CHECK_THROWS_WITH_AS(store.begin(5), "uncached quant: 5 tokens, room for 4", Error);
    const Tensor rows({4, 2, 32});
    for (const Index layer : {-1, 2})
        CHECK_THROWS_WITH_AS(store.append(layer, rows.view(), rows.view()),
                             concat("uncached quant: no layer ", layer).c_str(), Error);
    attend_wrong_steps(store, "uncached quant");
    const Tensor one({3, 32});
    CHECK_THROWS_WITH_AS(seen_rows(one, KvCode::kivi4, true, 0, 0),
                         "seen rows: a residual of 0 tokens", Error);
    CHECK_NOTHROW(seen_rows(one, KvCode::q8_0, true, 0, 0));
    CHECK_THROWS_WITH_AS(store.truncate(1), "uncached quant: nothing is kept to go back to",
                         Error);
    CHECK_THROWS_WITH_AS(store.truncate(-1), "uncached quant: nothing is kept to go back to",
                         Error);
}

TEST_CASE("6.3 messages: sinks are numbers and lie in the first slots") {
    Tensor rows({1, 2, 32}), fine({1, 2, 32});
    rows(0, 1, 3) = kInfiniteCaches;
    QuantOptions options = both(KvCode::q4_0);
    options.sinks = 1;
    const char* const said = "q4_0 cache: a number is not finite";
    QuantCache cache(kHeadsOf32, 8, options);
    cache.begin(1);
    CHECK_THROWS_WITH_AS(cache.append(0, rows.view(), fine.view()), said, Error);
    CHECK_THROWS_WITH_AS(cache.append(0, fine.view(), rows.view()), said, Error);
    CHECK_NOTHROW(cache.append(0, fine.view(), fine.view()));

    QuantSlots slots(options, 64, 2, 32);
    CHECK_THROWS_WITH_AS(slots.write(0, 0, rows.view(), fine.view()), said, Error);
    CHECK_THROWS_WITH_AS(slots.write(0, 0, fine.view(), rows.view()), said, Error);
    CHECK_NOTHROW(slots.write(0, 0, fine.view(), fine.view()));
    CHECK_NOTHROW(slots.write(1, 1, fine.view(), fine.view()));
    CHECK_THROWS_WITH_AS(slots.write(1, 0, fine.view(), fine.view()),
                         "quant slots: a sink in slot 1, which is above its position", Error);

    const auto copy = [&](const SlotTiles& from) { slots.copy_from(from, 2); };
    CHECK_NOTHROW(copy(*slots.make(64)));
    const char* const other = "quant slots: copy between different kinds";
    CHECK_THROWS_WITH_AS(copy(*make_float_slots(64, 2, 32)), other, Error);
    QuantOptions changed = options;
    changed.sinks = 2;
    CHECK_THROWS_WITH_AS(copy(QuantSlots(changed, 64, 2, 32)), other, Error);
    changed = options;
    changed.rotate = true;
    CHECK_THROWS_WITH_AS(copy(QuantSlots(changed, 64, 2, 32)), other, Error);
}

TEST_CASE("6.4 messages: what waits as f16 has to fit into it") {
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
