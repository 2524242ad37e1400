// Latent attention: the definition, what is kept of a token, and what the other order of its
// sums does.
#include <doctest/doctest.h>

#include <kvlab/architectures/latent.hpp>

#include "mixer_rig.hpp"

using namespace kvlab;
using namespace kvlab::test;

TEST_CASE("mla: attention is that of the definition") {
    MixerRig rig(drawn_model({"mla", "mla"}));
    const Index T = 150, H = 4, D = 8, r = 12, dr = 4, first = H * (D + dr);
    const Tensor rows = rig.rows(T, 41);
    const Tensor k_up = to_f32(rig.source->tensor("blk.0.k_up.weight")),
                 v_up = to_f32(rig.source->tensor("blk.0.v_up.weight")),
                 norm = to_f32(rig.source->tensor("blk.0.kv_norm.weight"));
    const RopeTable rope(rig.description.config.context, dr, 10000.0);
    Tensor c({T, r}), k_r({T, dr}), q = rows.clone(), expected({T, H * D});
    for (Index t = 0; t < T; ++t) {
        rms_norm(&rows(t, first), norm.data(), rig.description.config.norm_eps, r, &c(t, 0));
        for (Index i = 0; i < dr; ++i) k_r(t, i) = rows(t, first + r + i);
        rope.rotate(&k_r(t, 0), t);
        for (Index h = 0; h < H; ++h) {
            rope.rotate(&q(t, h * (D + dr) + D), t);
            attend_absorbed({k_up.view().slice(0, h * D, (h + 1) * D),
                             v_up.view().slice(0, h * D, (h + 1) * D)},
                            q.view()[t].slice(0, h * (D + dr), (h + 1) * (D + dr)),
                            c.view().slice(0, 0, t + 1), k_r.view().slice(0, 0, t + 1),
                            expected.view()[t].slice(0, h * D, (h + 1) * D));
        }
    }
    CHECK(same_bits(rig.step(rows), expected));
}

TEST_CASE("mla: a token leaves one vector, and it is kept once") {
    DrawnMixers subject({"mla", "mla"});
    const auto store = subject.make_store();
    subject.run(*store, drawn_text(100, 42));
    const Index token = (12 + 4) * Index{sizeof(float)};
    CHECK(store->bytes().logical == 2 * 100 * token);
    CHECK(store->bytes().allocated == 2 * 128 * token);  // whole tiles
}

TEST_CASE("mla: the other order of the sums gives other bits, and nearly the same numbers") {
    const OrderDifference found = compare_latent_orders(16, 24, 8, 200, 43);
    MESSAGE(found.differ, " of ", found.floats, " floats differ, by at most ", found.largest,
            "; the largest is ", found.size);
    CHECK(found.floats == 200 * 16);
    CHECK(found.differ > found.floats / 2);
    CHECK(found.size > 1.0f);
    // Measured: 2875 of 3200 floats differ, by at most 7.2e-7 where the largest is 2.2: 3.2e-7
    // of it. Rounding makes it, of sums of 24 to 64 terms in floats of 24 bits.
    CHECK(found.largest > 0.0f);
    CHECK(found.largest < found.size * 4e-6f);
}

TEST_CASE("mla: sizes that cannot be are refused") {
    const auto load = [](Index rank, Index rope_rank) {
        DrawnModel model = drawn_model({"mla", "mla"});
        model.keys = {{"kv_rank", rank}, {"rope_rank", rope_rank}};
        const DrawnMixers subject(model);
    };
    CHECK_THROWS_WITH_AS(
        load(12, 3), "drawn model: kvlab.rope_rank: expected an even number, found 3", Error);
    CHECK_THROWS_WITH_AS(load(0, 4), "drawn model: kvlab.kv_rank: expected 1 to 254, found 0",
                         Error);
    CHECK_THROWS_WITH_AS(load(250, 8), "drawn model: kvlab.rope_rank: expected 2 to 6, found 8",
                         Error);
    const OrderDifference one = compare_latent_orders(8, 4, 2, 1, 1);
    CHECK(one.floats == 8);
    CHECK_THROWS_AS(compare_latent_orders(8, 4, 2, 0, 1), Error);
}
