// Step 5: what a cache that evicts refuses, and which of equal tokens it keeps.
#include <doctest/doctest.h>

#include <kvlab/policies/slot_cache.hpp>

#include "policy_support.hpp"
#include "random_steps.hpp"

using namespace kvlab;
using namespace kvlab::test;

TEST_SUITE_BEGIN("step05");

TEST_CASE("slots: of equal ratings the lower positions stay whatever their slots are") {
    const Tensor same({1, kPairShape.kv_heads, kPairShape.head_dim});
    PolicyOptions options;
    options.budget = 4;
    options.whole_layers = 0;
    SlotCache cache(kPairShape, 16, key_norm_policy(options));
    const auto feed = [&](float scale) {
        Tensor k({1, kPairShape.kv_heads, kPairShape.head_dim});
        for (float& x : k.flat()) x = scale;
        cache.begin(1);
        for (Index layer = 0; layer < kPairShape.layers; ++layer)
            cache.append(layer, k.view(), same.view());
        cache.commit();
    };
    for (const float scale : {3.0f, 1.0f, 1.0f, 1.0f, 1.0f}) feed(scale);
    CHECK(cache.kept(0, 0) == std::vector<Index>{1, 2, 3, 4});
    CHECK(cache.slot_positions(0, 0)[0] == 4);  // it fills the hole, and is the latest
    feed(1.0f);
    CHECK(cache.kept(0, 0) == std::vector<Index>{1, 2, 3, 4});
    feed(0.5f);
    CHECK(cache.kept(0, 0) == std::vector<Index>{1, 2, 3, 6});
    CHECK(cache.slot_positions(0, 0)[0] == 6);
}

TEST_CASE("slots: what cannot be is refused and changes nothing") {
    PolicyOptions options;
    options.budget = 4;
    SlotCache window(kPairShape, 16, window_policy(options));
    step_all({&window}, 1, 4);
    window.truncate(3);  // nothing is gone yet
    CHECK(window.kept(1, 1) == std::vector<Index>{0, 1, 2});
    step_all({&window}, 1, 3);
    CHECK(window.next_position() == 6);
    CHECK_THROWS_WITH_AS(window.truncate(5),
                         "slot cache: cannot truncate 6 tokens to 5: what was evicted or "
                         "observed since then cannot be taken back",
                         Error);
    CHECK_THROWS_AS(window.truncate(7), Error);
    CHECK_THROWS_AS(window.truncate(-1), Error);
    CHECK(window.kept(0, 0) == std::vector<Index>{2, 3, 4, 5});
    CHECK_THROWS_AS(window.begin(13), Error);  // 4 held, 16 slots
    CHECK_THROWS_AS(window.begin(0), Error);
    CHECK(window.room() == 12);
    window.truncate(0);
    CHECK(window.room() == 16);

    SlotCache heavy(kPairShape, 16, h2o_policy(options));
    step_all({&heavy}, 1, 3);
    CHECK_THROWS_AS(heavy.truncate(2), Error);  // what tokens received cannot be taken back
    heavy.truncate(3);

    options.window = 2;
    SlotCache snap(kPairShape, 16, snapkv_policy(options), {Reduce::mean, {}, 8});
    CHECK_THROWS_AS(snap.begin(9), Error);  // the prompt was said to have 8 tokens
    step_all({&snap}, 1, 5);
    CHECK(snap.held(0, 0) == 5);
    step_all({&snap}, 1, 3);
    CHECK(snap.held(0, 0) == 4);
    step_all({&snap}, 1, 8);
    CHECK(snap.held(0, 0) == 12);  // never again
    CHECK(snap.room() == 0);       // a text of 16 tokens

    CHECK_THROWS_AS(SlotCache(kPairShape, 0, full_policy()), Error);
    CHECK_THROWS_AS(SlotCache(kPairShape, 4, nullptr), Error);
    CHECK_THROWS_AS(
        SlotCache(kPairShape, 4, full_policy(), {Reduce::mean, PositionScheme::relative, 0}),
        Error);
}

TEST_SUITE_END();
