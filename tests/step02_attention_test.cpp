// Step 2: the fast decoder against the plain loops, and against software that we did not write.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include <kvlab/attention/attention.hpp>
#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/finite.hpp>
#include <kvlab/attention/generate.hpp>
#include <kvlab/attention/plain_decoder.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/numerics.hpp>

#include "models.hpp"
#include "random_data.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

// Logits of the whole text by Decoder at one level and thread count.
std::vector<float> fast_logits(const WeightSource& source,
                               std::span<const Token> tokens,
                               CpuOptions options) {
    auto engine = make_cpu_engine(options);
    Decoder decoder(load_model(source, *engine), *engine);
    WholeSequence store(decoder.kv_shape(), decoder.config().context, options.level);
    const auto logits = decoder.forward(store, tokens, LogitsOf::all).flat();
    return {logits.begin(), logits.end()};
}

}  // namespace

TEST_SUITE_BEGIN("step02");

TEST_CASE("attention: tiles equal the plain loop for every past and row count and head shape") {
    struct Case {
        Index Hq, Hkv, D;
    };

    ThreadPool pool(2);
    for (const Case c : {Case{1, 1, 4}, Case{4, 2, 16}, Case{9, 3, 64}, Case{4, 1, 80},
                         Case{7, 7, 22}, Case{2, 1, 256}})
        for (const Index past : {0, 1, 62, 63, 64, 65, 127, 128, 200})
            for (const Index T : {1, 2, 5, 64, 65}) {
                if (c.D > 64 && T > 5) continue;
                CAPTURE(c.Hq);
                CAPTURE(c.D);
                CAPTURE(past);
                CAPTURE(T);
                const Index S = past + T, G = c.Hq / c.Hkv;
                const Tensor q = random_tensor({T, c.Hq, c.D}, 1, 2.0f),
                             k = random_tensor({S, c.Hkv, c.D}, 2);
                const Tensor v = random_tensor({S, c.Hkv, c.D}, 3);
                Tensor expected({T, c.Hq, c.D});
                for (Index t = 0; t < T; ++t)
                    for (Index h = 0; h < c.Hq; ++h)
                        attention_plain(
                            q.view()[t][h],
                            k.view().slice(0, 0, past + t + 1).transposed(0, 1)[h / G],
                            v.view().slice(0, 0, past + t + 1).transposed(0, 1)[h / G],
                            expected.view()[t][h]);
                KvTiles tiles(S, c.Hkv, c.D);
                tiles.write(0, k.view(), v.view());
                for (const SimdLevel level : supported_simd_levels()) {
                    CAPTURE(simd_level_name(level));
                    Tensor out({T, c.Hq, c.D});
                    attend_tiles(level, pool, q.view(), tiles, past, out.view());
                    REQUIRE(compare_bits(out.flat(), expected.flat()).differ == 0);
                }
            }
}

TEST_CASE("attention: one visible slot returns its value and the softmax is a convex mixture") {
    const Tensor q = random_tensor({8}, 1), k = random_tensor({1, 8}, 2),
                 v = random_tensor({1, 8}, 3);
    Tensor out({8});
    attention_plain(q.view(), k.view(), v.view(), out.view());
    for (Index i = 0; i < 8; ++i)
        CHECK(std::fabs(out(i) - v(0, i)) <= 2e-7f * std::fabs(v(0, i)));
    CHECK_THROWS_AS(
        attention_plain(q.view(), k.view().slice(0, 0, 0), v.view().slice(0, 0, 0), out.view()),
        Error);
}

TEST_CASE(
    "attention: a large spread of scores agrees online and in two passes up to the stated "
    "limit") {
    // Rule 3 promises equality for ordinary values; scores up to +-100 in base 2 are
    // far beyond them.
    ThreadPool pool(1);
    const Index S = 300, D = 16;
    const Tensor q = random_tensor({1, 1, D}, 5, 8.0f), k = random_tensor({S, 1, D}, 6, 4.0f);
    const Tensor v = random_tensor({S, 1, D}, 7);
    Tensor expected({D}), out({1, 1, D});
    attention_plain(q.view()[0][0], k.view().transposed(0, 1)[0], v.view().transposed(0, 1)[0],
                    expected.view());
    KvTiles tiles(S, 1, D);
    tiles.write(0, k.view(), v.view());
    attend_tiles(default_simd_level(), pool, q.view(), tiles, S - 1, out.view());
    CHECK(compare_bits(out.flat(), expected.flat()).differ == 0);
}

TEST_CASE(
    "decoder: equals the plain loops for MHA and GQA and MQA and gpt2 at every level and "
    "thread count") {
    for (const Config& config :
         {small_config(4, 4), small_config(4, 2), small_config(4, 1), small_config(6, 2, 10),
          small_config(3, 1, 66), tiny_config(), small_gpt2()}) {
        CAPTURE(config.name);
        CAPTURE(config.kv_heads);
        CAPTURE(config.head_dim);
        const auto source = make_synthetic(config, 42);
        const auto tokens = random_tokens(70, config.vocab, 9);
        const Tensor expected = PlainDecoder(*source).forward(tokens);
        for (const SimdLevel level : supported_simd_levels())
            for (const Index threads : {1, 2, 3}) {
                // Every level with two threads; every thread count at the best level.
                if (threads != 2 && level != supported_simd_levels().back()) continue;
                CAPTURE(simd_level_name(level));
                CAPTURE(threads);
                REQUIRE(compare_bits(fast_logits(*source, tokens, {threads, level}),
                                     expected.flat())
                            .differ == 0);
            }
    }
}

TEST_CASE("decoder: a row of logits does not depend on what follows it") {
    const auto source = make_synthetic(small_config(), 1);
    const auto tokens = random_tokens(66, 96, 2);
    const PlainDecoder plain(*source);
    const Tensor whole = plain.forward(tokens);
    for (const std::size_t length : {1u, 2u, 63u, 64u, 65u}) {
        const Tensor prefix = plain.forward(std::span(tokens).first(length));
        CHECK(compare_bits(prefix.flat(), whole.flat().first(prefix.flat().size())).differ ==
              0);
    }
}

TEST_CASE("decoder: positions matter and every token of the text matters") {
    // Were attention flat, as with tiny random weights, a wrong cache would go unnoticed.
    const auto source = make_synthetic(tiny_config(), 42);
    const PlainDecoder plain(*source);
    auto tokens = random_tokens(20, 256, 3);
    const Tensor before = plain.forward(tokens);
    std::swap(tokens[3], tokens[11]);
    const Tensor after = plain.forward(tokens);
    CHECK(compare_bits(before.view()[19].flat(), after.view()[19].flat()).differ > 200);
    CHECK(compare_bits(before.view()[19].flat(), after.view()[19].flat()).max_abs > 0.1);
}

TEST_CASE("decoder: errors name what is wrong and change nothing") {
    const auto source = make_synthetic(small_config(), 1);
    auto engine = make_cpu_engine();
    Decoder decoder(load_model(*source, *engine), *engine);
    WholeSequence store(decoder.kv_shape(), 50), other({2, 4, 4, 16}, 50);
    const auto tokens = random_tokens(51, 96, 1);
    CHECK_THROWS_WITH_AS(decoder.forward(store, {}), "decoder: sequence 0: no tokens", Error);
    CHECK_THROWS_WITH_AS(decoder.forward(store, tokens),
                         "decoder: sequence 0: 51 tokens do not fit: its store has room for 50",
                         Error);
    CHECK_THROWS_AS(decoder.forward(other, std::span(tokens).first(3)), Error);
    const Token bad[] = {1, 96}, negative[] = {-1};
    CHECK_THROWS_WITH_AS(decoder.forward(store, bad),
                         "decoder: token 96 is outside of the vocabulary of 96", Error);
    CHECK_THROWS_AS(decoder.forward(store, negative), Error);
    CHECK_THROWS_AS(decoder.forward(std::span<const SequenceStep>{}), Error);
    const SequenceStep twice[] = {{&store, bad}, {&store, bad}};
    CHECK_THROWS_AS(decoder.forward(twice), Error);
}

TEST_CASE("decoder: a number that is not finite is reported where it first appears") {
    const auto source = make_synthetic(small_config(), 1);
    auto engine = make_cpu_engine();
    // One weight of layer 1's value projection is infinite: its first trace is
    // that layer's values.
    const TensorInfo& poisoned = source->tensor("blk.1.attn_v.weight");
    const_cast<float*>(reinterpret_cast<const float*>(poisoned.bytes.data()))[5 * 72 + 3] =
        std::numeric_limits<float>::infinity();
    Decoder decoder(load_model(*source, *engine), *engine);
    WholeSequence store(decoder.kv_shape(), 50);
    const auto tokens = random_tokens(4, 96, 1);
    std::string message;
    try {
        decoder.forward(store, tokens);
    } catch (const Error& error) {
        message = error.what();
    }
    CAPTURE(message);
    CHECK(message.find("not finite: layer 1, value, position 0, element 5") != message.npos);
    const float fine[] = {1.0f, -3e38f, 0.0f},
                bad[] = {1.0f, std::numeric_limits<float>::quiet_NaN()};
    CHECK(all_finite(fine));
    CHECK_FALSE(all_finite(bad));
}

TEST_CASE("config: metadata round trip and hostile numbers") {
    for (const Config& config : {tiny_config(), small_config(4, 1, 20), small_gpt2()}) {
        const Config back = Config::from_metadata(config.to_metadata());
        CHECK(back.head_dim == config.head_dim);
        CHECK(back.kv_heads == config.kv_heads);
        CHECK(back.ffn == config.ffn);
        CHECK(back.rope_base == config.rope_base);
        CHECK(back.norm_eps == config.norm_eps);
    }
    Metadata many = small_config(4, 1, 20).to_metadata();
    many.erase("llama.attention.head_count_kv");  // as many as query heads, if nothing is said
    CHECK(Config::from_metadata(many).kv_heads == 4);
    const auto broken = [](auto change) {
        Config c = tiny_config();
        change(c);
        c.validate("test");
    };
    CHECK_THROWS_AS(broken([](Config& c) { c.kv_heads = 3; }), Error);
    CHECK_THROWS_AS(broken([](Config& c) { c.kv_heads = 0; }), Error);
    CHECK_THROWS_AS(broken([](Config& c) { c.head_dim = 257; }), Error);
    CHECK_THROWS_AS(broken([](Config& c) { c.rope_dim = 17; }), Error);
    CHECK_THROWS_AS(broken([](Config& c) { c.layers = -1; }), Error);
    CHECK_THROWS_AS(broken([](Config& c) { c.norm_eps = 0; }), Error);
    CHECK_THROWS_AS(broken([](Config& c) { c.context = Index{1} << 40; }), Error);
}

TEST_CASE("model: the parameters counted are those in the tensors") {
    for (const Config& config : {tiny_config(), small_config(), small_gpt2()}) {
        const auto source = make_synthetic(config, 1);
        Index floats = 0;
        for (const TensorInfo& info : source->tensors()) floats += info.shape.size();
        CHECK(floats == config.parameters());
    }
    CHECK(tiny_config().parameters() == 123712);
}

TEST_CASE("generate: stops at length or end token or full context and repeats for a seed") {
    Config config = small_config();
    config.context = 30;
    const auto source = make_synthetic(config, 7);
    auto engine = make_cpu_engine();
    Decoder decoder(load_model(*source, *engine), *engine);
    const auto prompt = random_tokens(5, config.vocab, 4);
    const auto run = [&](Index steps, SamplingOptions sampling,
                         Generator::IsEnd is_end = nullptr) {
        WholeSequence store(decoder.kv_shape(), config.context);
        Generator generator(decoder);
        generator.add(store, prompt, steps, sampling);
        generator.set_is_end(is_end);
        generator.run();
        const auto tokens = generator.generated(0);
        return std::pair(std::vector<Token>(tokens.begin(), tokens.end()), generator.finish(0));
    };
    const auto whole = run(10, {});
    const std::vector<Token>& greedy = whole.first;
    CHECK(greedy.size() == 10);
    CHECK(whole.second == Finish::length);
    CHECK(run(10, {}).first == greedy);
    CHECK(run(0, {}).first.empty());
    const auto [stopped, why] = run(10, {}, [&](Token t) { return t == greedy[3]; });
    CHECK(stopped.size() <= 4);
    CHECK(why == Finish::end_token);
    const auto [full, reason] = run(100, {});
    CHECK(full.size() == 26);  // the 26th comes from position 29, the last of the context
    CHECK(reason == Finish::context_full);
    SamplingOptions hot{1.5f, 0, 1.0f, 1};
    const auto first = run(20, hot).first;
    CHECK(run(20, hot).first == first);
    hot.seed = 2;
    CHECK(run(20, hot).first != first);
    WholeSequence store(decoder.kv_shape(), config.context);
    Generator generator(decoder);
    CHECK_THROWS_AS(generator.add(store, {}, 3), Error);
    CHECK_THROWS_AS(generator.add(store, random_tokens(31, 96, 1), 3), Error);
}

TEST_SUITE_END();
