// Memory follows the tokens, not the context that a file declares: tables of angles grow while
// a cache fills, and change no bit. And what is loaded through edited weights is judged as the
// file itself.
#include <doctest/doctest.h>

#include <kvlab/attention/rotated_tiles.hpp>
#include <kvlab/policies/registry.hpp>
#include <kvlab/quant/edited_weights.hpp>
#include <kvlab/quant/latent_plan.hpp>

#include "quant_rig.hpp"
#include "sample_source.hpp"
#include "weights_support.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

constexpr Index kHuge = Index{1} << 24, kText = 600;  // beyond the first table of 512

struct LongRig {
    LongRig() {
        Config config = small_config(4, 2, 16);
        config.context = kHuge;
        weights = make_synthetic(config, 5);
        model = load_model(*weights, *engine);
    }

    // Logits of the text's last token: after one step, or after steps of 3, 500 and the rest,
    // the last of them in a fork.
    Tensor last(KvStore& store, bool in_pieces) {
        Decoder decoder(model, *engine);
        if (!in_pieces) return QuantRig::copy(decoder.forward(store, text));
        const std::span<const Token> all(text);
        decoder.forward(store, all.first(3));
        decoder.forward(store, all.subspan(3, 500));
        const auto fork = store.fork();
        return QuantRig::copy(decoder.forward(*fork, all.subspan(503)));
    }

    std::unique_ptr<Engine> engine = make_cpu_engine({1, default_simd_level()});
    std::unique_ptr<WeightSource> weights;
    std::shared_ptr<const Model> model;
    std::vector<Token> text = random_tokens(kText, 96, 11);
};

}  // namespace

TEST_SUITE_BEGIN("step06");

TEST_CASE("tables of angles: as long as they are asked for and the same at any length") {
    const RopeTable rope(kHuge, 8, 10000.0);
    const auto first = reaching(nullptr, rope, 3);
    CHECK(first->positions == RopeTable::kBlock);
    CHECK(reaching(first, rope, RopeTable::kBlock) == first);
    const auto second = reaching(first, rope, RopeTable::kBlock + 1);
    CHECK(second->positions == 2 * RopeTable::kBlock);
    CHECK(reaching(second, rope, 5000)->positions == 5000);
    CHECK(rope.bytes() <= 5120 * 8 * Index{sizeof(float)});
    for (Index i = 0; i < 4; ++i)
        for (const Index p : {Index{0}, Index{7}, RopeTable::kBlock - 1}) {
            CHECK(ulp_distance(first->cos(i, p), second->cos(i, p)) == 0);
            CHECK(ulp_distance(first->sin(i, p), rope.sin(p)[i]) == 0);
        }
    const RopeTable small(700, 8, 10000.0);
    CHECK(reaching(reaching(nullptr, small, 1), small, 513)->positions == 700);
    CHECK_THROWS_AS(reaching(nullptr, small, 701), Error);
}

TEST_CASE("tables of angles: a cache that outgrows its table keeps every bit") {
    LongRig rig;
    const KvShape shape = Decoder(rig.model, *rig.engine).kv_shape();
    const RopeTable* const rope = &rig.model->rope;
    const auto check_same = [&](const char* name, const auto& make) {
        CAPTURE(name);
        const auto one = make(), other = make();
        CHECK(differing(rig.last(*one, false), rig.last(*other, true)) == 0);
    };
    PolicyContext context;
    context.shape = shape;
    context.capacity = kText;
    context.rope = rope;
    PolicyOptions keep_all;
    keep_all.budget = kText;
    check_same("relative",
               [&] { return find_policy("sinks-relative").make(context, keep_all); });
    const auto L = usize(shape.layers);
    const LatentRanks ranks{std::vector<Index>(L, 8), std::vector<Index>(L, 8)};
    const auto plan =
        std::make_shared<LatentPlan>(rig.model, find_bases(*rig.weights), ranks, &formats::f32);
    check_same("latents", [&] { return make_latent_cache(plan, kText); });
    CHECK(rope->bytes() <= 1024 * 16 * Index{sizeof(float)});
}

TEST_CASE("tables of angles: keys before RoPE that outgrow theirs keep every bit") {
    Config config = small_config(4, 2, 32);
    config.context = kHuge;
    auto engine = make_cpu_engine({1, default_simd_level()});
    const auto model = load_model(*make_synthetic(config, 5), *engine);
    Decoder decoder(model, *engine);
    QuantOptions options = both(&formats::q8_0);
    options.before_rope = true;
    const auto text = random_tokens(kText, 96, 11);
    const std::span<const Token> all(text);
    KvCache one(decoder.kv_shape(), kText, coded_rows(options), &model->rope);
    KvCache other(decoder.kv_shape(), kText, coded_rows(options), &model->rope);
    const Tensor whole = QuantRig::copy(decoder.forward(one, text));
    decoder.forward(other, all.first(10));
    decoder.forward(other, all.subspan(10, 500));
    const auto fork = other.fork();
    CHECK(differing(QuantRig::copy(decoder.forward(*fork, all.subspan(510))), whole) == 0);
    CHECK(differing(QuantRig::copy(decoder.forward(other, all.subspan(510))), whole) == 0);
}

TEST_CASE("edited weights: what the file may not hold is refused through them, too") {
    Sample sample(small_config());
    auto engine = make_cpu_engine({1, default_simd_level()});
    {
        EditedWeights edited(sample);
        edited.replace("blk.0.attn_q.weight", to_f32(sample.tensor("blk.1.attn_q.weight")));
        load_model(edited, *engine);
        for (const TensorInfo& info : sample.tensors()) {
            CAPTURE(info.name);
            CHECK(sample.released[info.name] == 1);  // the file hears of each, replaced or not
        }
    }
    sample.add("blk.0.attn_q.bias", "output_norm.weight");
    const EditedWeights edited(sample);
    CHECK(error_of([&] {
              load_model(edited, *engine);
          }).starts_with("m.gguf: tensor 'blk.0.attn_q.bias': expected only the tensors"));
}

TEST_SUITE_END();
