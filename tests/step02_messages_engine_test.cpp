// What engines, configurations and model files say when they refuse, word for word,
// and beside it the last value that is still taken.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <kvlab/attention/attention.hpp>
#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/generate.hpp>
#include <kvlab/attention/opened_model.hpp>
#include <kvlab/attention/pack_tensors.hpp>
#include <kvlab/attention/plain_decoder.hpp>
#include <kvlab/attention/recall_file.hpp>
#include <kvlab/attention/score.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/attention/wrapped_engine.hpp>
#include <kvlab/weights/gguf_writer.hpp>

#include "models.hpp"
#include "random_data.hpp"
#include "sample_source.hpp"
#include "small_vocabulary.hpp"
#include "weights_support.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

constexpr float kNoNumberEngine = std::numeric_limits<float>::quiet_NaN();

// A matrix of nobody's.
struct StrangeMatrix final : Matrix {
    Index outputs() const override { return 4; }

    Index depth() const override { return 4; }

    Index bytes() const override { return 64; }
};

}  // namespace

TEST_SUITE_BEGIN("step02");

TEST_CASE("messages: an engine takes its own matrices and rows of one shape") {
    const auto engine = make_cpu_engine();
    const StrangeMatrix strange;
    const Tensor x = random_tensor({2, 4}, 1);
    Tensor y({2, 4}), other({2, 3}), more({3, 4});
    const std::vector<Token> tokens = {0, 1};
    const char* const not_ours = "cpu engine: this matrix belongs to another engine";
    CHECK_THROWS_WITH_AS(engine->gather(strange, tokens, y.view()), not_ours, Error);
    CHECK_THROWS_WITH_AS(engine->linear(strange, nullptr, x.view(), y.view()), not_ours, Error);
    CHECK_THROWS_WITH_AS(engine->load_matrix({}), "load_matrix: no tensors", Error);
    const auto info = [&](Shape shape) {
        return TensorInfo{"w", TensorType::f32, shape, std::as_bytes(x.flat())};
    };
    const TensorInfo matrix = info({2, 4}), deep = info({1, 8}), vector = info({8});
    const auto load = [&](std::vector<const TensorInfo*> parts) {
        return engine->load_matrix(parts);
    };
    CHECK_THROWS_WITH_AS(load({&matrix, &deep}),
                         "w: expected a matrix of depth 4, found [1, 8]", Error);
    CHECK_THROWS_WITH_AS(load({&matrix, &vector}), "w: expected a matrix of depth 4, found [8]",
                         Error);
    const auto table = load({&matrix, &matrix});
    Tensor one({1, 4});
    const auto gather = [&](Token token, Tensor& to) {
        engine->gather(*table, std::vector<Token>{token}, to.view());
    };
    for (const Token bad : {-1, 4})
        CHECK_THROWS_WITH_AS(
            gather(bad, one),
            concat("token ", bad, " is outside of the vocabulary of 4").c_str(), Error);
    CHECK_THROWS_WITH_AS(gather(0, y), "gather: x: expected shape [1, 4], found [2, 4]", Error);
    gather(3, one);
    CHECK(one(0, 3) == x(1, 3));
    CHECK_NOTHROW(gather(0, one));

    const std::vector<float> ones(4, 1.0f);
    const float* const w = ones.data();
    const auto refused = [](const char* what, const Tensor& found) {
        return concat(what, ": y: expected shape [2, 4], found ", found.shape());
    };
    for (Tensor* const bad : {&other, &more}) {
        CHECK_THROWS_WITH_AS(engine->rms_norm(x.view(), w, 1e-5f, bad->view()),
                             refused("rms_norm", *bad).c_str(), Error);
        CHECK_THROWS_WITH_AS(engine->layer_norm(x.view(), w, w, 1e-5f, bad->view()),
                             refused("layer_norm", *bad).c_str(), Error);
        CHECK_THROWS_WITH_AS(engine->add(x.view(), bad->view()), refused("add", *bad).c_str(),
                             Error);
        CHECK_THROWS_WITH_AS(engine->gelu(x.view(), bad->view()), refused("gelu", *bad).c_str(),
                             Error);
    }
    Tensor half({2, 2});
    CHECK_THROWS_WITH_AS(engine->swiglu(x.view(), y.view()),
                         "swiglu: gate_up: expected shape [2, 8], found [2, 4]", Error);
    CHECK_NOTHROW(engine->swiglu(x.view(), half.view()));
    CHECK_NOTHROW(engine->rms_norm(x.view(), w, 1e-5f, y.view()));
    CHECK_NOTHROW(engine->layer_norm(x.view(), w, w, 1e-5f, y.view()));
    CHECK_NOTHROW(engine->gelu(x.view(), y.view()));
    engine->add(x.view(), y.view());
    CHECK_THROWS_WITH_AS(WrappedEngine(nullptr), "wrapped engine: no engine", Error);
}

TEST_CASE("messages: positions and heads that the table of angles does not have") {
    const auto engine = make_cpu_engine();
    const RopeTable table(5, 4, 10000.0), wide(5, 6, 10000.0);
    const auto rotate = [&](const RopeTable* by, std::vector<Index> positions) {
        Tensor heads = random_tensor({1, 2, 4}, 1);
        engine->rotate(heads.view(), by, positions, 1.0f);
    };
    CHECK_THROWS_WITH_AS(rotate(&table, {5}),
                         "rotate: position 5 is outside of the model's context of 5", Error);
    CHECK_THROWS_WITH_AS(rotate(&table, {-1}),
                         "rotate: position -1 is outside of the model's context of 5", Error);
    CHECK_THROWS_WITH_AS(rotate(&table, {0, 1}), "rotate: 2 positions for 1 rows", Error);
    CHECK_THROWS_WITH_AS(rotate(&wide, {0}), "rotate: heads of 4 numbers, a table for 6",
                         Error);
    CHECK_NOTHROW(rotate(&table, {4}));
    CHECK_NOTHROW(rotate(nullptr, {5}));  // learned positions: only the factor is left to do
}

TEST_CASE("messages: a configuration that cannot be") {
    const auto with = [](const Config& start, auto change) {
        Config config = start;
        change(config);
        return error_of([&] { config.validate("m"); });
    };
    const auto llama = [&](auto change) { return with(small_config(), change); };
    const auto gpt2 = [&](auto change) { return with(small_gpt2(), change); };

    struct Number {
        const char* name;
        Index Config::*field;
        Index most;
    };

    for (const Number& number : {Number{"vocab", &Config::vocab, 1 << 24},
                                 {"embedding length", &Config::dim, 1 << 20},
                                 {"layers", &Config::layers, 1 << 12},
                                 {"query heads", &Config::heads, 1 << 12},
                                 {"KV heads", &Config::kv_heads, 1 << 12},
                                 {"head_dim", &Config::head_dim, 256},
                                 {"feed-forward length", &Config::ffn, 1 << 22},
                                 {"context", &Config::context, 1 << 24}}) {
        CAPTURE(number.name);
        for (const Index bad : {Index{0}, number.most + 1})
            CHECK(llama([&](Config& c) { c.*number.field = bad; }) ==
                  concat("m: ", number.name, ": expected 1 to ", number.most, ", found ", bad));
        const auto last = [&](Config& c) {
            c.*number.field = number.most;
            c.heads = std::max(c.heads, c.kv_heads);
        };
        CHECK(llama(last) == "no error");
    }
    CHECK(llama([](Config& c) { c.kv_heads = 3; }) ==
          "m: 4 query heads do not share 3 KV heads evenly");
    CHECK(llama([](Config& c) { c.kv_heads = 8; }) ==
          "m: 4 query heads do not share 8 KV heads evenly");
    for (const float good : {0x1p-149f, std::nextafter(1.0f, 0.0f)})
        CHECK(llama([=](Config& c) { c.norm_eps = good; }) == "no error");
    for (const float bad : {0.0f, 1.0f, -1.0f, kNoNumberEngine})
        CHECK(llama([=](Config& c) { c.norm_eps = bad; }) ==
              concat("m: norm epsilon: expected more than 0 and less than 1, found ", bad));
    for (const double good : {std::nextafter(1.0, 2.0), 999999999999.0})
        CHECK(llama([=](Config& c) { c.rope_base = good; }) == "no error");
    for (const double bad : {1.0, 1e12, std::nan("")})
        CHECK(llama([=](Config& c) { c.rope_base = bad; }) ==
              concat("m: rope base: expected more than 1 and less than 1e12, found ", bad));
    CHECK(gpt2([](Config& c) { c.kv_heads = 1; }) ==
          "m: gpt2 has one KV head per query head, found 1 and 3");
    CHECK(gpt2([](Config& c) { c.dim = 67; }) == "m: gpt2: 3 heads of 22 do not make 67");
    CHECK(gpt2([](Config&) {}) == "no error");
}

TEST_CASE("messages: what a model file is refused for") {
    const auto engine = make_cpu_engine();
    const auto load = [&](const Sample& sample) { load_model(sample, *engine); };
    CHECK_THROWS_WITH_AS(load(Sample(small_config()).set("llama.attention.head_count", 0u)),
                         "m.gguf: llama.attention.head_count: expected more than 0", Error);
    CHECK_THROWS_WITH_AS(load(Sample(small_config())
                                  .drop("token_embd.weight")
                                  .add("token_embd.weight", "output_norm.weight")),
                         "m.gguf: tensor 'token_embd.weight': expected a matrix, found [72]",
                         Error);
    CHECK_NOTHROW(load(Sample(small_config())));
}

TEST_CASE("messages: a tokenizer of another size than the embedding") {
    const Folder folder;
    const auto path = folder / "m.gguf";
    const auto open = [&](Index vocab) {
        Config config = small_config();
        config.vocab = vocab;
        const TokenizerData bytes = byte_data();
        Sample sample(config);
        sample.set("tokenizer.ggml.model", bytes.model)
            .set("tokenizer.ggml.tokens", MetaArray(bytes.tokens))
            .set("tokenizer.ggml.token_type", MetaArray(std::vector<std::int32_t>(256, 6)));
        GgufWriter writer;
        for (const auto& entry : sample.metadata().entries())
            writer.metadata().set(entry.key, entry.value);
        for (const TensorInfo& info : sample.tensors())
            writer.add(info.name, info.type, info.shape, info.bytes);
        writer.write(path);
        OpenOptions options;
        options.model = path.string();
        return OpenedModel(options).encode("a");
    };
    CHECK(open(256) == std::vector<Token>{'a'});
    for (const Index vocab : {255, 257})
        CHECK_THROWS_WITH_AS(
            open(vocab),
            concat(path.string(), ": the tokenizer has 256 tokens, the embedding ", vocab)
                .c_str(),
            Error);
}

TEST_SUITE_END();
