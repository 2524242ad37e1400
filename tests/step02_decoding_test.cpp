// What decoding a real model adds: a cache so long that threads share one token's tiles, and
// files that mix formats of weights.
#include <doctest/doctest.h>

#include <vector>

#include <kvlab/attention/attention.hpp>
#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/generate.hpp>
#include <kvlab/attention/stepped_store.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/tensor/checksum.hpp>
#include <kvlab/weights/quantize.hpp>

#include "models.hpp"
#include "random_data.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

// A store that keeps nothing: each step sees itself alone, by words without an order.
class Forgetful final : public SteppedStore {
public:
    Forgetful(const KvShape& shape, KeyForm form)
        : SteppedStore("forgetful", shape, 1 << 20),
          form_(form),
          tiles_(512, shape.kv_heads, shape.head_dim) {}

    Index room() const override { return 512; }

    KeyForm key_form() const override { return form_; }

    KvBytes bytes() const override { return {}; }

private:
    void write_rows(Index, const View<const float>& k, const View<const float>& v) override {
        tiles_.write(0, k, v);
    }

    AttentionWork attend_rows(Index,
                              const View<const float>& q,
                              const View<float>& out,
                              ThreadPool& pool) override {
        return attend_tiles(default_simd_level(), pool, q, tiles_, 0, out);
    }

    std::unique_ptr<SteppedStore> copied() const override { return nullptr; }

    KeyForm form_;
    KvTiles tiles_;
};

}  // namespace

TEST_SUITE_BEGIN("step02");

TEST_CASE("attention: one token over a long cache equals the plain loop with any threads") {
    ThreadPool one(1), two(2), three(3);
    for (const Index heads : {6, 7})  // groups of 6 rows, and of 7: more than a kernel takes
        for (const Index past : {511, 512, 513, 575, 576, 1000}) {
            CAPTURE(heads);
            CAPTURE(past);
            const Index D = 20, S = past + 1;
            const Tensor q = random_tensor({1, 2 * heads, D}, 4, 3.0f);
            const Tensor k = random_tensor({S, 2, D}, 5), v = random_tensor({S, 2, D}, 6);
            KvTiles tiles(S, 2, D);
            tiles.write(0, k.view(), v.view());
            Tensor expected({1, 2 * heads, D});
            for (Index h = 0; h < 2 * heads; ++h)
                attention_plain(q.view()[0][h], k.view().transposed(0, 1)[h / heads],
                                v.view().transposed(0, 1)[h / heads], expected.view()[0][h]);
            for (const SimdLevel level : supported_simd_levels())
                for (ThreadPool* pool : {&one, &two, &three}) {
                    Tensor out({1, 2 * heads, D});
                    attend_tiles(level, *pool, q.view(), tiles, past, out.view());
                    REQUIRE(compare_bits(out.flat(), expected.flat()).differ == 0);
                }
        }
}

TEST_CASE("decoder: the context bounds a text whose positions the decoder looks up") {
    for (Config config : {small_config(), small_gpt2()}) {
        CAPTURE(config.name);
        config.context = 30;
        const bool learned = config.architecture == Architecture::gpt2;
        auto engine = make_cpu_engine();
        Decoder decoder(load_model(*make_synthetic(config, 7), *engine), *engine);
        Forgetful rotated(decoder.kv_shape(), KeyForm::rotated),
            unrotated(decoder.kv_shape(), KeyForm::unrotated);
        CHECK(decoder.context_bounds(rotated));
        CHECK(decoder.context_bounds(unrotated) == learned);
        const auto text = random_tokens(31, config.vocab, 1);
        const auto run = [&](Forgetful& store, std::size_t prompt) {
            store.reset();
            Generator generator(decoder);
            generator.add(store, std::span(text).first(prompt), 60);
            generator.run();
            return std::pair(generator.generated(0).size(), generator.finish(0));
        };
        CHECK_THROWS_AS(decoder.forward(rotated, text), Error);
        CHECK_THROWS_AS(run(rotated, 31), Error);
        CHECK(run(rotated, 5) == std::pair(std::size_t{26}, Finish::context_full));
        if (learned) {
            CHECK_THROWS_AS(decoder.forward(unrotated, text), Error);
            CHECK(run(unrotated, 5).second == Finish::context_full);
        } else {
            CHECK(run(unrotated, 31) == std::pair(std::size_t{60}, Finish::length));
            CHECK(unrotated.next_position() == 90);
        }
    }
}

TEST_CASE("generation: a text in two parts, one sampler, is the text in one") {
    const Config config = small_config();
    auto engine = make_cpu_engine();
    Decoder decoder(load_model(*make_synthetic(config, 7), *engine), *engine);
    const auto prompt = random_tokens(5, config.vocab, 1);
    const SamplingOptions sampling{.temperature = 1.5f, .top_k = 40, .seed = 9};
    WholeSequence store(decoder.kv_shape(), 40);
    const auto go_on = [&](std::span<const Token> text, Index steps, Sampler& sampler) {
        store.reset();
        Generator generator(decoder);
        generator.add(store, text, steps, sampler);
        generator.run();
        sampler = generator.sampler(0);
        return std::vector<Token>(generator.tokens(0).begin(), generator.tokens(0).end());
    };
    Sampler once(sampling), twice(sampling), anew(sampling);
    const auto whole = go_on(prompt, 20, once);
    const auto half = go_on(prompt, 10, twice);
    CHECK(go_on(half, 10, twice) == whole);
    CHECK(go_on(half, 10, anew) != whole);  // a fresh seed throws the first dice again
}

TEST_CASE("engine: matrices of different formats in one have the bits of each alone") {
    // q in F32 beside k in Q8_0: files may mix formats, and the engine lays both in one matrix.
    const Index K = 64, N = 70;
    const std::vector<float> weights = normals(N * K, 7);
    std::vector<std::byte> codes(usize(N * bytes_for(TensorType::q8_0, K)));
    quantize(TensorType::q8_0, weights, codes);
    const TensorInfo plain{"plain", TensorType::f32, {N, K}, std::as_bytes(std::span(weights))};
    const TensorInfo coded{"coded", TensorType::q8_0, {N, K}, codes};
    const auto engine = make_cpu_engine({2, default_simd_level()});
    const Tensor x = random_tensor({3, K}, 8);
    const auto product = [&](std::vector<const TensorInfo*> parts) {
        const auto matrix = engine->load_matrix(parts);
        Tensor y({3, matrix->outputs()});
        engine->linear(*matrix, nullptr, x.view(), y.view());
        return y;
    };
    const Tensor both = product({&plain, &coded}), first = product({&plain}),
                 second = product({&coded});
    for (Index r = 0; r < 3; ++r)
        for (Index n = 0; n < N; ++n) {
            REQUIRE(both(r, n) == first(r, n));
            REQUIRE(both(r, N + n) == second(r, n));
        }
}

TEST_SUITE_END();
