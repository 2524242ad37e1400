// Layers that read another layer's keys and values, and the frame around all mixers: with
// grouped attention in every layer it is the decoder of chapter 2.
#include <doctest/doctest.h>

#include <kvlab/attention/synthetic.hpp>
#include <kvlab/kvcache/kv_cache.hpp>

#include "edited_source.hpp"
#include "mixer_rig.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

void load_kv_layers(const std::vector<std::string>& mixers, std::vector<std::int32_t> layers) {
    DrawnModel model = drawn_model(mixers);
    model.kv_layer = std::move(layers);
    const DrawnMixers subject(model);
}

Index held_by(const std::vector<std::string>& mixers, Index tokens) {
    DrawnMixers subject(mixers);
    const auto store = subject.make_store();
    subject.run(*store, drawn_text(tokens, 51));
    return store->bytes().logical;
}

}  // namespace

TEST_CASE("shared: a layer without rows leaves nothing behind") {
    const Index own = held_by({"gqa", "gqa", "gqa", "gqa"}, 100);
    CHECK(own == 4 * 100 * 2 * 2 * 8 * Index{sizeof(float)});
    CHECK(held_by({"gqa", "shared", "gqa", "shared"}, 100) == own / 2);
    CHECK(held_by({"gqa", "shared", "shared", "shared"}, 100) == own / 4);
    // Two windows of 24, one full cache.
    CHECK(held_by({"local", "local", "gqa", "shared"}, 100) == own / 400 * (24 + 24 + 100));
}

TEST_CASE("shared: attention is that over the other layer's rows") {
    MixerRig rig(drawn_model({"gqa", "shared"}));
    const Tensor rows = rig.rows(90, 52), queries = random_tensor({90, 32}, 53);
    rig.step(rows);
    Tensor own = queries.clone(), mixed({90, 32});
    const MixerCall call{*rig.engine, rig.engine->pool(), rig.model->frame->rope, 0,
                         1,           rig.states};
    rig.model->mixers[1]->remember(call, own.view(), mixed.view());
    const RopeTable& rope = rig.model->frame->rope;
    const Tensor expected = attend_all_plain(
        rig.heads(queries, 0, 4, 8, &rope, rig.scale()), rig.heads(rows, 32, 2, 8, &rope),
        rig.heads(rows, 48, 2, 8, nullptr), [](Index, Index t) {
            std::vector<Index> all;
            for (Index s = 0; s <= t; ++s) all.push_back(s);
            return all;
        });
    CHECK(same_bits(mixed, expected));
}

TEST_CASE("shared: only an earlier layer with rows of its own can be read") {
    load_kv_layers({"gqa", "gqa", "shared"}, {0, 1, 0});  // not the nearest one: allowed
    CHECK_THROWS_WITH_AS(
        load_kv_layers({"gqa", "shared"}, {0, 1}),
        "drawn model: kvlab.kv_layer: layer 1 is 'shared': expected an earlier "
        "layer, found 1",
        Error);
    CHECK_THROWS_WITH_AS(
        load_kv_layers({"shared", "gqa"}, {1, 1}),
        "drawn model: kvlab.kv_layer: layer 0 is 'shared': expected an earlier "
        "layer, found 1",
        Error);
    CHECK_THROWS_WITH_AS(
        load_kv_layers({"gqa", "shared"}, {0, -1}),
        "drawn model: kvlab.kv_layer: layer 1 is 'shared': expected an earlier "
        "layer, found -1",
        Error);
    CHECK_THROWS_WITH_AS(
        load_kv_layers({"gqa", "shared", "shared"}, {0, 0, 1}),
        "drawn model: kvlab.kv_layer: layer 2 cannot read layer 1: 'shared' has no keys and "
        "values of its own that another layer can read",
        Error);
    CHECK_THROWS_WITH_AS(
        load_kv_layers({"linear", "shared"}, {0, 0}),
        "drawn model: kvlab.kv_layer: layer 1 cannot read layer 0: 'linear' has no keys and "
        "values of its own that another layer can read",
        Error);
    CHECK_THROWS_WITH_AS(load_kv_layers({"gqa", "gqa", "shared"}, {0, 0, 0}),
                         "drawn model: kvlab.kv_layer: layer 1 is 'gqa', which reads rows of "
                         "its own, found 0",
                         Error);
    CHECK_THROWS_WITH_AS(
        load_kv_layers({"gqa", "shared"}, {0}),
        "drawn model: kvlab.kv_layer: expected one for each of 2 layers, found 1", Error);
    CHECK_THROWS_AS(load_kv_layers({"gqa", "shared"}, {}), Error);
    CHECK_THROWS_AS(load_kv_layers({"gqa", "gqa"}, {0, 1}), Error);  // nobody reads the key
}

TEST_CASE("mixers: grouped attention in all layers is the decoder of chapter 2 in every bit") {
    DrawnModel model = drawn_model({"gqa", "gqa", "gqa"});
    const auto engine = make_cpu_engine({.threads = 2});
    const auto llama = make_synthetic(model.config, 54);
    const EditedSource source(*llama, model.draw()->metadata(),
                              [](const std::string&) { return true; });
    MixedDecoder mixed(load_mixed_model(source, *engine), *engine);
    Decoder plain(load_model(*llama, *engine), *engine);
    const auto store = mixed.make_store();
    KvCache cache(plain.kv_shape(), model.config.context);
    const std::vector<Token> text = drawn_text(180, 55);
    for (const auto& [first, count] :
         {std::pair<Index, Index>{0, 100}, {100, 1}, {101, 1}, {102, 78}}) {
        const auto tokens = std::span(text).subspan(usize(first), usize(count));
        const auto of_mixed = mixed.forward(*store, tokens, LogitsOf::all).flat();
        const std::vector<float> found(of_mixed.begin(), of_mixed.end());
        const auto expected = plain.forward(cache, tokens, LogitsOf::all).flat();
        CHECK(std::ranges::equal(found, expected));
    }
    CHECK(store->bytes().logical == cache.bytes().logical);
}
