// Step 6: the judge of all variants. Mistakes in mind: a variant compared with itself, a store
// that goes on with the last window, pieces that change the verdict, edited weights that the
// plain model sees, too.
#include <doctest/doctest.h>

#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/kvcache/judge.hpp>
#include <kvlab/kvcache/kv_format.hpp>
#include <kvlab/quant/edited_weights.hpp>

#include "models.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

struct Small {
    Config config = small_config();
    std::unique_ptr<Engine> engine = make_cpu_engine();
    std::unique_ptr<WeightSource> weights = make_synthetic(config, 6);
    std::shared_ptr<const Model> model = load_model(*weights, *engine);

    TextWindows text(Index most = 0) const {
        Rng rng(60);
        std::vector<Token> tokens;
        for (int i = 0; i < 160; ++i)
            tokens.push_back(
                static_cast<Token>(rng.below(static_cast<std::uint64_t>(config.vocab))));
        return {tokens, 0, 50, most};
    }

    Variant variant(std::string name, MakeStore make = {}, Index piece = 0) const {
        return {std::move(name), model, engine.get(), std::move(make), piece};
    }

    MakeStore int8() const {
        const KvShape shape = Decoder(model, *engine).kv_shape();
        return [shape](Index capacity) { return make_cache(&formats::int8, shape, capacity); };
    }
};

bool same(const Shift& a, const Shift& b) {
    return a.positions == b.positions && a.agree == b.agree && a.bits == b.bits && a.kl == b.kl;
}

}  // namespace

TEST_CASE("judge: the float cache is the plain model and int8 is not") {
    const Small small;
    const Variant variants[] = {small.variant("f32"), small.variant("f32 in pieces", {}, 7),
                                small.variant("int8", small.int8()),
                                small.variant("int8 in pieces", small.int8(), 1)};
    const Judgement judged = judge(small.model, *small.engine, small.text(), variants);
    CHECK(judged.positions == 150);
    for (const std::size_t plain : {0, 1}) {
        CHECK(judged.variants[plain].positions == 150);
        CHECK(judged.variants[plain].agree == 150);
        CHECK(judged.variants[plain].max_kl() == 0.0);
        CHECK(judged.variants[plain].bits == judged.plain_bits);
    }
    CHECK(judged.variants[2].mean_kl() > 0.0);
    CHECK(same(judged.variants[2], judged.variants[3]));
}

TEST_CASE("judge: windows are judged apart") {
    const Small small;
    const Variant variants[] = {small.variant("int8", small.int8())};
    const Judgement all = judge(small.model, *small.engine, small.text(), variants);
    const Judgement first = judge(small.model, *small.engine, small.text(1), variants);
    REQUIRE(first.positions == 50);
    for (std::size_t i = 0; i < 50; ++i)
        CHECK(all.variants[0].kl[i] == first.variants[0].kl[i]);
}

TEST_CASE("judge: an edited model differs and leaves the plain one as it was") {
    const Small small;
    EditedWeights edited(*small.weights);
    Tensor down = to_f32(small.weights->tensor("blk.1.ffn_down.weight"));
    for (float& x : down.flat()) x *= 1.5f;
    edited.replace("blk.1.ffn_down.weight", std::move(down));
    Variant changed = small.variant("edited");
    changed.model = load_model(edited, *small.engine);
    const Variant variants[] = {changed, small.variant("plain")};
    const Judgement judged = judge(small.model, *small.engine, small.text(), variants);
    CHECK(judged.variants[0].mean_kl() > 0.0);
    CHECK(judged.variants[1].max_kl() == 0.0);

    // Put back, it is the plain model again.
    edited.replace("blk.1.ffn_down.weight",
                   to_f32(small.weights->tensor("blk.1.ffn_down.weight")));
    Variant back = small.variant("back");
    back.model = load_model(edited, *small.engine);
    CHECK(judge(small.model, *small.engine, small.text(), std::span(&back, 1))
              .variants[0]
              .max_kl() == 0.0);
}

// A copy would borrow its bytes from the original, and forget what the original is based on.
static_assert(!std::is_copy_constructible_v<EditedWeights>);
static_assert(!std::is_copy_assignable_v<EditedWeights>);

TEST_CASE("judge: edits on top of edits leave those below as they were") {
    const Small small;
    const std::string down = "blk.0.ffn_down.weight", up = "blk.0.ffn_up.weight";
    const auto filled = [&](const std::string& name, float x) {
        Tensor w(small.weights->tensor(name).shape);
        for (float& number : w.flat()) number = x;
        return w;
    };
    EditedWeights below(*small.weights);
    below.replace(down, filled(down, 1.0f));
    const WeightSource& base = below;
    EditedWeights above(base);
    above.replace(up, filled(up, 2.0f));
    above.replace(down, filled(down, 3.0f));
    CHECK(to_f32(below.tensor(down)).data()[0] == 1.0f);
    CHECK(below.tensor(up).bytes.data() == small.weights->tensor(up).bytes.data());
    CHECK(to_f32(above.tensor(up)).data()[0] == 2.0f);
    CHECK(to_f32(above.tensor(down)).data()[0] == 3.0f);
}

TEST_CASE("judge: refusals name what is wrong") {
    const Small small;
    EditedWeights edited(*small.weights);
    CHECK_THROWS_WITH_AS(edited.replace("blk.9.ffn_down.weight", Tensor({2, 2})),
                         doctest::Contains("blk.9.ffn_down.weight"), Error);
    CHECK_THROWS_WITH_AS(edited.replace("blk.0.ffn_down.weight", Tensor({2, 2})),
                         doctest::Contains("blk.0.ffn_down.weight"), Error);
    CHECK_THROWS_WITH_AS(
        edited.replace("blk.0.ffn_down.weight", TensorType::f16, std::vector<std::byte>(3)),
        doctest::Contains("F16"), Error);
    Variant none = small.variant("none");
    none.model = nullptr;
    CHECK_THROWS_WITH_AS(judge(small.model, *small.engine, small.text(), std::span(&none, 1)),
                         doctest::Contains("none"), Error);
    Small other;
    other.config.vocab = 97;
    other.weights = make_synthetic(other.config, 6);
    other.model = load_model(*other.weights, *other.engine);
    const Variant wrong = other.variant("wrong");
    CHECK_THROWS_WITH_AS(judge(small.model, *small.engine, small.text(), std::span(&wrong, 1)),
                         doctest::Contains("97"), Error);
}
