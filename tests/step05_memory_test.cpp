// Step 5: what forgetting saves, in bytes: closed forms, and that a stream's
// memory stands still.
#include <doctest/doctest.h>

#include <cmath>

#include <kvlab/policies/mini_cache.hpp>
#include <kvlab/tensor/memory.hpp>

#include "policy_support.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

const KvShape kMemoryShape{4, 8, 2, 32};

PolicyContext context_for(Index capacity) {
    PolicyContext context;
    context.shape = kMemoryShape;
    context.capacity = capacity;
    return context;
}

// Rows that attend to themselves, so that every policy has seen shares.
void feed_rows(KvStore& store, Index T, Index layers = kMemoryShape.layers) {
    ThreadPool pool(1);
    const auto seed = static_cast<std::uint64_t>(store.next_position());
    const Tensor k = random_tensor({T, kMemoryShape.kv_heads, kMemoryShape.head_dim}, seed),
                 q = random_tensor({T, kMemoryShape.heads, kMemoryShape.head_dim}, seed + 1,
                                   0.3f);
    Tensor out({T, kMemoryShape.heads, kMemoryShape.head_dim});
    store.begin(T);
    for (Index layer = 0; layer < layers; ++layer) {
        store.append(layer, k.view(), k.view());
        store.attend(layer, q.view(), out.view(), pool);
    }
    store.commit();
}

PolicyOptions budget_of(Index budget) {
    PolicyOptions options;
    options.budget = budget;
    return options;
}

}  // namespace

TEST_SUITE_BEGIN("step05");

TEST_CASE("bytes: logical ones are the closed form with positions and scores") {
    // Keys and values of a token in all layers and KV heads: 2 * 4 * 2 * 32 * 4 = 2048 bytes.
    const Index token = 2048, heads = 8;
    const auto held = [&](const std::string& name, const PolicyOptions& options) {
        const auto store = find_policy(name).make(context_for(1024), options);
        feed_rows(*store, 1023);
        feed_rows(*store, 1);
        return store->bytes().logical;
    };
    CHECK(held("full", {}) == 1024 * (token + 4 * heads));
    CHECK(held("window", budget_of(128)) == 128 * (token + 4 * heads));
    CHECK(held("sinks", budget_of(256)) == 256 * (token + 4 * heads));
    CHECK(held("h2o", budget_of(256)) == 540672);
    CHECK(held("tova", budget_of(256)) == 540672);
    CHECK(held("key-norm-every-layer", budget_of(160)) == 160 * (token + 8 * heads));
    // Two of four layers keep all.
    CHECK(held("key-norm", budget_of(160)) == (1024 + 160) * (token + 8 * heads) / 2);
    CHECK(held("random", budget_of(160)) == 160 * (token + 4 * heads));
    CHECK(held("random-fixed", budget_of(160)) == 160 * (token + 8 * heads));
    // A position, a number of votes, and 400 bits in 13 numbers.
    CHECK(held("scissorhands", budget_of(160)) == 160 * (token + 4 * 15 * heads));
    PolicyOptions ratios;
    ratios.ratios = {1, 1, 0.5, 0.25};
    // 1023 tokens are evicted behind, and one comes: 1024 + 1024 + 513 + 257 of them in the
    // four layers, 2.75 times 1024 where rounding up is left out.
    CHECK(held("pyramidkv-ratios", ratios) == (1024 + 1024 + 513 + 257) * 2 * (256 + 8));
    CHECK(held("quest-every-layer", {}) == 1024 * token + 131072);
    CHECK(held("quest", {}) == 1024 * token + 131072 / 2);
    PolicyOptions merged;
    merged.retained = 0.05;
    // Layers 2 and 3: a vector and two factors; of 52 tokens the position and the upper layer.
    CHECK(held("minicache", merged) ==
          1024 * 2 * 2 * 256 + 2 * (1024 * (256 + 8) + 52 * (256 + 4)));
}

TEST_CASE("bytes: allocated ones are what the allocator was asked for") {
    for (const PolicyEntry& entry : all_policies()) {
        if (entry.looks_ahead() || entry.scheme == PositionScheme::relative)
            continue;  // these need a model
        CAPTURE(std::string(entry.name));
        const Index before = memory_use().bytes;
        const auto store = entry.make(context_for(300), budget_of(70));
        feed_rows(*store, 200);
        feed_rows(*store, 1);
        const Index tiles = memory_use().bytes - before;
        const KvBytes bytes = store->bytes();
        CHECK(bytes.allocated >= bytes.logical);
        // Positions and state are kept elsewhere, beside 256 bytes of a slot: 4 of the
        // position, and 8 of each number of the state; or, of a merged one, 20 bytes for a pair
        // of layers.
        const auto* const slots = dynamic_cast<const SlotCache*>(store.get());
        const Index beside = slots != nullptr ? 4 + 8 * slots->policy().state_rows() : 20;
        CHECK(bytes.allocated >= tiles);
        CHECK(bytes.allocated - tiles <= tiles * beside / 256);
    }
}

TEST_CASE("bytes: a prompt's room is given back and a stream's memory stands still") {
    for (const char* name : {"window", "sinks", "h2o", "tova", "random", "random-fixed"}) {
        CAPTURE(std::string(name));
        const auto store = find_policy(name).make(context_for(600), budget_of(100));
        feed_rows(*store, 500);
        const KvBytes early = store->bytes();
        CHECK(early.logical < 101 * 2048 * 2);
        CHECK(early.allocated < 128 * (2048 + 8 * 12) + 1);  // 101 slots are two tiles
        for (int i = 0; i < 700; ++i) feed_rows(*store, 1);  // far beyond 600 slots
        CHECK(store->next_position() == 1200);
        CHECK(store->bytes().logical == early.logical);
        CHECK(store->bytes().allocated == early.allocated);
    }
    // A policy that evicts once needs room for the rest of the text, and no more.
    const auto snap = find_policy("snapkv").make(context_for(600), budget_of(100));
    feed_rows(*snap, 500);
    CHECK(snap->room() == 100);
    CHECK(snap->bytes().allocated == 256 * (2048 + 8 * (4 + 8)));  // 200 slots are four tiles
    for (int i = 0; i < 100; ++i) feed_rows(*snap, 1);
    CHECK(snap->mean_kept() == 200.0);
    CHECK_THROWS_AS(snap->begin(1), Error);
}

TEST_CASE("budgets: realised ones are those of the papers' arithmetic") {
    const auto kept = [&](PolicyOptions options, Index layers, Index n) {
        std::vector<Index> tokens;
        const PolicyPointer policy = pyramidkv_policy(options, layers);
        for (Index l = 0; l < layers; ++l) tokens.push_back(policy->keep(l, n));
        return tokens;
    };
    PolicyOptions options = budget_of(128);
    options.window = 8;
    CHECK(kept(options, 4, 1024) == std::vector<Index>{242, 166, 90, 14});  // 128 in the mean
    const auto deep = kept(options, 32, 8000);
    CHECK(deep.front() == 242);
    CHECK(deep.back() == 25);
    double sum = 0;
    for (const Index tokens : deep) sum += static_cast<double>(tokens);
    CHECK(sum / 32 == 133.5);  // 4.3 % above 128: the step is rounded down
    CHECK(kept(options, 1, 1024) == std::vector<Index>{128});
    CHECK(kept(options, 4, 200) == std::vector<Index>(4, 128));  // below twice the prefix
    options.ratios = {1, 1, 0.5, 0.25};
    CHECK(kept(options, 4, 1000) == std::vector<Index>{1000, 1000, 500, 250});
    CHECK(kept(options, 8, 1001) ==
          std::vector<Index>{1001, 1001, 1001, 1001, 501, 501, 251, 251});
    CHECK(kept(options, 4, 20) == std::vector<Index>{20, 20, 10, 8});  // never below the window

    PolicyOptions share = budget_of(1);
    share.ratio = 0.3;
    CHECK(tokens_to_keep(share, 10) == 3);
    CHECK(tokens_to_keep(share, 11) == 4);  // rounded up
    CHECK(tokens_to_keep(share, 1) == 1);
    CHECK_THROWS_AS(tokens_to_keep(budget_of(0), 5), Error);
    share.ratio = 1.5;
    CHECK_THROWS_AS(tokens_to_keep(share, 5), Error);
    options = budget_of(16);
    CHECK_THROWS_AS(snapkv_policy(options), Error);  // the window alone is as much
    options.recent = 17;
    CHECK_THROWS_AS(h2o_policy(options), Error);
    options.sinks = 17;
    CHECK_THROWS_AS(sinks_policy(options), Error);
    options.kernel = 4;
    options.budget = 64;
    CHECK_THROWS_AS(snapkv_policy(options), Error);
    options.votes = 4097;
    CHECK_THROWS_AS(scissorhands_policy(options), Error);
    CHECK_THROWS_AS(oracle_policy(options, nullptr), Error);
    CHECK_THROWS_AS(find_policy("h20"), Error);
}

TEST_SUITE_END();
