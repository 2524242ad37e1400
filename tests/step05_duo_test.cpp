// Step 5: the split into retrieval and streaming heads. Mistakes in mind: heads split by what
// they look at nearby, a layer at a time, streaming heads that stop to forget, a share of
// layers instead of heads, memory of streaming heads that stays.
#include <doctest/doctest.h>

#include <cmath>

#include <kvlab/tensor/checksum.hpp>

#include "policy_support.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

const KvShape kDuoShape{2, 2, 2, 4};

PolicyOptions duo_options(Index budget, double retrieval) {
    PolicyOptions options;
    options.budget = budget;
    options.sinks = 2;
    options.own["retrieval"] = retrieval;
    return options;
}

// The queries [from, until) look at this token; all others, and those before it, at the first.
struct Look {
    Look(Index at, Index first = 0, Index end = 1000) : token(at), from(first), until(end) {}

    Index token, from, until;
};

// A step of T tokens in which each query head [L, Hq] looks at one token.
void look(KvStore& store, Index T, const std::vector<Look>& heads) {
    ThreadPool pool(1);
    store.begin(T);
    const Index first = store.next_position();
    for (Index layer = 0; layer < 2; ++layer) {
        Tensor k({T, 2, 4}), v({T, 2, 4}), q({T, 2, 4}), out({T, 2, 4});
        for (Index t = 0; t < T; ++t)
            for (Index h = 0; h < 2; ++h) {
                const Look& wanted = at(heads, layer * 2 + h);
                const Index now = first + t, begin = std::max(wanted.from, wanted.token);
                k(t, h, 0) = now == wanted.token ? 1.0f : 0.0f;
                k(t, h, 1) = now == 0 ? 1.0f : 0.0f;
                q(t, h, now < begin || now >= wanted.until ? 1 : 0) = 40.0f;
            }
        store.append(layer, k.view(), v.view());
        store.attend(layer, q.view(), out.view(), pool);
    }
    store.commit();
}

std::vector<Index> all_held(const SlotCache& cache) {
    std::vector<Index> held;
    for (Index i = 0; i < 4; ++i) held.push_back(cache.held(i / 2, i % 2));
    return held;
}

}  // namespace

TEST_SUITE_BEGIN("step05");

TEST_CASE("duo: heads that look where a streaming head has nothing are the retrieval heads") {
    // 40 tokens, of which streaming heads see the first 2 and the last 6, and the query.
    const auto split = [](const std::vector<Look>& heads, double retrieval) {
        SlotCache cache(kDuoShape, 100, duo_policy(duo_options(8, retrieval)));
        look(cache, 40, heads);
        return all_held(cache);
    };
    CHECK(split({20, 0, 1, 39}, 0.25) == std::vector<Index>{40, 8, 8, 8});
    CHECK(split({0, 1, 39, 20}, 0.25) == std::vector<Index>{8, 8, 8, 40});
    // By how much: token 10 is out of reach for longer than token 30, and both in one layer.
    CHECK(split({30, 10, 0, 1}, 0.5) == std::vector<Index>{40, 40, 8, 8});
    CHECK(split({30, 10, 0, 1}, 0.25) == std::vector<Index>{8, 40, 8, 8});
    // The last query sees its 6 neighbours before it: 33 is in reach, 32 is not.
    CHECK(split({0, 33, 0, 0}, 0.25) == std::vector<Index>{40, 8, 8, 8});
    CHECK(split({0, 32, 0, 0}, 0.25) == std::vector<Index>{8, 40, 8, 8});
    // What was in reach when it was looked at does not count, however old it is in the end.
    CHECK(split({Look(20, 20, 27), Look(10, 17, 19), 0, 0}, 0.25) ==
          std::vector<Index>{8, 40, 8, 8});
    CHECK(split({0, 0, 0, 0}, 0.375) == std::vector<Index>{40, 40, 8, 8});  // 1.5 heads
    CHECK(split({20, 20, 20, 20}, 0) == std::vector<Index>{8, 8, 8, 8});
    CHECK(split({20, 20, 20, 20}, 1) == std::vector<Index>{40, 40, 40, 40});
}

TEST_CASE("duo: after the prompt streaming heads forget, and retrieval heads do not") {
    const auto make = [] {
        return std::make_unique<SlotCache>(kDuoShape, 200, duo_policy(duo_options(8, 0.25)),
                                           SlotCacheOptions{Reduce::mean, {}, 60});
    };
    const auto cache = make(), pieces = make();
    look(*cache, 60, {0, 0, 20, 0});
    for (const Index T : {25, 34, 1}) look(*pieces, T, {0, 0, 20, 0});
    CHECK(all_held(*pieces) == std::vector<Index>{8, 8, 60, 8});
    const auto copy = pieces->fork();
    for (int i = 0; i < 40; ++i) {
        look(*cache, 1, {0, 20, 0, 0});  // too late to become one
        look(*copy, 1, {0, 20, 0, 0});
    }
    CHECK(all_held(*cache) == std::vector<Index>{8, 8, 100, 8});
    CHECK(all_held(static_cast<SlotCache&>(*copy)) == all_held(*cache));
    CHECK(cache->kept(0, 1) == std::vector<Index>{0, 1, 94, 95, 96, 97, 98, 99});
    // A key, a value and a position; what was observed is gone.
    CHECK(cache->bytes().logical == (3 * 8 + 100) * (2 * 4 + 1) * 4);
    // In memory three heads have a tile, and one the tiles of 200; a value takes 16 numbers.
    CHECK(cache->bytes().allocated == (3 + 4) * 64 * (4 + 16 + 1) * 4);
    cache->reset();
    look(*cache, 60, {0, 20, 0, 0});
    CHECK(all_held(*cache) == std::vector<Index>{8, 60, 8, 8});
}

TEST_CASE("duo: with no retrieval heads it is sinks, and with all of them full") {
    PolicyRig rig(small_config(6, 2, 10));
    const auto text = random_tokens(90, 96, 5);
    const auto pieces = one_by_one(50, 40);
    PolicyOptions options = small_budget();
    for (const auto& pair : {std::pair{0.0, "sinks"}, std::pair{1.0, "full"}}) {
        const double share = pair.first;
        const std::string same = pair.second;
        CAPTURE(share);
        options.own["retrieval"] = share;
        const auto a = rig.store("duo", options), b = rig.store(same, options);
        CHECK(rig.logits(*a, text, pieces) == rig.logits(*b, text, pieces));
        CHECK(a->bytes().logical == b->bytes().logical);
    }
    options.own["retrieval"] = 0.5;
    const auto half = rig.store("duo", options), full = rig.store("full", options);
    CHECK(rig.logits(*half, text, pieces) != rig.logits(*full, text, pieces));
    options.sinks = 25;
    CHECK_THROWS_WITH_AS(duo_policy(options), "duo: 25 sinks in a budget of 24", Error);
    options.sinks = 4;
    options.own["retrieval"] = 1.5;
    CHECK_THROWS_WITH_AS(duo_policy(options), "duo: a share of 1.5 of the heads", Error);
}

TEST_SUITE_END();
