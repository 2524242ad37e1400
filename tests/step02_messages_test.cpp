// What the decoder and everything around it say when they refuse: every message as a reader
// meets it, and beside it the last value that is still taken.
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
#include <kvlab/attention/pack_tensors.hpp>
#include <kvlab/attention/plain_decoder.hpp>
#include <kvlab/attention/recall_file.hpp>
#include <kvlab/attention/score.hpp>
#include <kvlab/attention/session.hpp>
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

constexpr float kNoNumber = std::numeric_limits<float>::quiet_NaN();

// A matrix of nobody's.
struct StrangeMatrix final : Matrix {
    Index outputs() const override { return 4; }

    Index depth() const override { return 4; }

    Index bytes() const override { return 64; }
};

// An engine that computes a NaN while it is broken, and in every second pass fails altogether
// if `fails`.
struct BreakingEngine final : WrappedEngine {
    BreakingEngine() : WrappedEngine(make_cpu_engine()) {}

    void gather(const Matrix& table,
                std::span<const Token> tokens,
                const View<float>& x) override {
        WrappedEngine::gather(table, tokens, x);
        if (!broken) return;
        check(!fails || ++passes % 2 == 1, "the engine broke");
        x(0, 3) = kNoNumber;
    }

    bool broken = false, fails = false;
    int passes = 0;
};

// An engine that says that its memory is not the host's.
struct FarEngine final : WrappedEngine {
    FarEngine() : WrappedEngine(make_cpu_engine()) {}

    bool host_memory() const override { return false; }
};

struct Counter final : Observer {
    void on(Op, Index, const View<const float>&, std::span<const Index>) override { ++calls; }

    Index calls = 0;
};

Config short_config() {
    Config config = small_config();
    config.context = 16;
    return config;
}

// A model and what runs it.
struct Loaded {
    explicit Loaded(const Config& config)
        : source(config),
          engine(make_cpu_engine()),
          decoder(load_model(source, *engine), *engine),
          store(decoder.kv_shape(), 40) {}

    Sample source;
    std::unique_ptr<Engine> engine;
    Decoder decoder;
    WholeSequence store;
};

}  // namespace

TEST_SUITE_BEGIN("step02");

TEST_CASE("2.1 messages: attention says what it was given") {
    const Tensor q({4}), k({2, 4}), many({1, 4});
    Tensor out({4});
    const auto attend = [&](const Tensor& queries, const Tensor& keys) {
        attention_plain(queries.view(), keys.view(), k.view(), out.view());
    };
    CHECK_NOTHROW(attend(q, k));
    CHECK_THROWS_WITH_AS(attend(many, k),
                         "attention: expected q [D] and k [S, D], found [1, 4] and [2, 4]",
                         Error);
    CHECK_THROWS_WITH_AS(attend(q, q),
                         "attention: expected q [D] and k [S, D], found [4] and [4]", Error);

    const Tensor wide({2, 5}), none({0, 4});
    Tensor narrow({3});
    const auto mix = [&](const Tensor& keys, const Tensor& values, Tensor& to) {
        attention_plain(q.view(), keys.view(), values.view(), to.view());
    };
    CHECK_THROWS_WITH_AS(mix(wide, k, out), "attention: k: expected shape [2, 4], found [2, 5]",
                         Error);
    CHECK_THROWS_WITH_AS(mix(k, many, out), "attention: v: expected shape [2, 4], found [1, 4]",
                         Error);
    CHECK_THROWS_WITH_AS(mix(k, k, narrow), "attention: out: expected shape [4], found [3]",
                         Error);
    CHECK_THROWS_WITH_AS(mix(none, none, out), "attention: a query must see at least one slot",
                         Error);
    CHECK_NOTHROW(mix(many, many, out));

    const SimdLevel level = default_simd_level();
    AttentionRows rows(level, 16, 16);
    CHECK_THROWS_WITH_AS(rows.start(0), "attention: 1 to 6 rows, found 0", Error);
    CHECK_THROWS_WITH_AS(rows.start(7), "attention: 1 to 6 rows, found 7", Error);
    for (const Index n : {1, 6}) CHECK_NOTHROW(rows.start(n));
    CHECK_THROWS_WITH_AS(AttentionRows(level, 0, 16),
                         "attention: head_dim must be 1 to 256, found 0", Error);
    CHECK_THROWS_WITH_AS(AttentionRows(level, 257, 272),
                         "attention: head_dim must be 1 to 256, found 257", Error);
    CHECK_NOTHROW(AttentionRows(level, 1, 16));
    CHECK_NOTHROW(AttentionRows(level, 256, 256));
    CHECK_THROWS_WITH_AS(attention_kernels(static_cast<SimdLevel>(99)),
                         concat("SIMD level ", simd_level_name(static_cast<SimdLevel>(99)),
                                " is not supported by this processor or not built in")
                             .c_str(),
                         Error);
    for (const SimdLevel other : {SimdLevel::avx2, SimdLevel::avx512}) {
        const auto& levels = supported_simd_levels();
        const bool supported = std::find(levels.begin(), levels.end(), other) != levels.end();
        CHECK((error_of([&] { attention_kernels(other); }) == "no error") == supported);
    }
}

TEST_CASE("2.1 messages: attention over tiles") {
    const KvTiles tiles(64, 2, 8);
    ThreadPool pool(1);
    const auto attend = [&](const View<const float>& q, Index past, const View<float>& out) {
        return attend_tiles(default_simd_level(), pool, q, tiles, past, out).pairs;
    };
    const Tensor q({2, 4, 8}), wide({2, 4, 9}), odd({2, 3, 8}), strided({2, 8, 4});
    Tensor out({2, 4, 8}), fewer({1, 4, 8}), three({2, 3, 8}), columns({2, 8, 4});
    CHECK_THROWS_WITH_AS(attend(wide.view(), 0, out.view()),
                         "attend: q: expected shape [2, 4, 8], found [2, 4, 9]", Error);
    CHECK_THROWS_WITH_AS(attend(q.view(), 0, fewer.view()),
                         "attend: out: expected shape [2, 4, 8], found [1, 4, 8]", Error);
    CHECK_THROWS_WITH_AS(attend(strided.view().transposed(1, 2), 0, out.view()),
                         "attend: heads must be contiguous", Error);
    CHECK_THROWS_WITH_AS(attend(q.view(), 0, columns.view().transposed(1, 2)),
                         "attend: heads must be contiguous", Error);
    CHECK_THROWS_WITH_AS(attend(odd.view(), 0, three.view()),
                         "attend: 3 query heads do not share 2 KV heads evenly", Error);
    CHECK_THROWS_WITH_AS(attend(q.view(), -1, out.view()),
                         "attend: 2 slots behind -1 are outside of 64", Error);
    CHECK_THROWS_WITH_AS(attend(q.view(), 63, out.view()),
                         "attend: 2 slots behind 63 are outside of 64", Error);
    CHECK(attend(q.view(), 62, out.view()) == 4 * (63 + 64));
    CHECK(attend(q.view(), 0, out.view()) == 4 * (1 + 2));
}

TEST_CASE("2.1 messages: a slot is one of a head") {
    KvTiles tiles(64, 2, 2), more(65, 2, 2);
    const std::vector<float> key = {1.0f, 2.0f}, value = {3.0f, 4.0f}, three(3);
    const auto write = [&](Index head, Index slot) {
        tiles.write_slot(head, slot, key, value);
        return tiles.key(head, slot, 1);
    };
    CHECK_THROWS_WITH_AS(write(-1, 0), "kv tiles: there is no slot 0 of head -1", Error);
    CHECK_THROWS_WITH_AS(write(2, 0), "kv tiles: there is no slot 0 of head 2", Error);
    CHECK_THROWS_WITH_AS(write(0, -1), "kv tiles: there is no slot -1 of head 0", Error);
    CHECK_THROWS_WITH_AS(write(0, 64), "kv tiles: there is no slot 64 of head 0", Error);
    CHECK(write(0, 0) == 2.0f);
    CHECK(write(1, 63) == 2.0f);
    CHECK_THROWS_WITH_AS(tiles.write_slot(0, 0, three, three),
                         "kv tiles: a key of 3 and a value of 3 numbers", Error);
    CHECK_THROWS_WITH_AS(tiles.write_slot(0, 0, key, three),
                         "kv tiles: a key of 2 and a value of 3 numbers", Error);

    const auto copy = [&](Index head, Index from, Index to) {
        tiles.copy_slot(head, from, to);
        return tiles.value(head, to, 1);
    };
    CHECK_THROWS_WITH_AS(copy(-1, 0, 1), "kv tiles: cannot copy slot 0 to 1 of head -1", Error);
    CHECK_THROWS_WITH_AS(copy(2, 0, 1), "kv tiles: cannot copy slot 0 to 1 of head 2", Error);
    CHECK_THROWS_WITH_AS(copy(0, -1, 1), "kv tiles: cannot copy slot -1 to 1 of head 0", Error);
    CHECK_THROWS_WITH_AS(copy(0, 64, 1), "kv tiles: cannot copy slot 64 to 1 of head 0", Error);
    CHECK_THROWS_WITH_AS(copy(0, 1, -1), "kv tiles: cannot copy slot 1 to -1 of head 0", Error);
    CHECK_THROWS_WITH_AS(copy(0, 1, 64), "kv tiles: cannot copy slot 1 to 64 of head 0", Error);
    CHECK(copy(0, 0, 63) == 4.0f);
    CHECK(copy(1, 63, 0) == 4.0f);
    for (const KvTiles& other : {KvTiles(64, 1, 2), KvTiles(64, 2, 3)})
        CHECK_THROWS_WITH_AS(tiles.copy_slot_from(other, 0, 0, 1),
                             "kv tiles: cannot copy slot 0 to 1 of head 0", Error);
    tiles.copy_slot_from(more, 1, 127, 63);
    CHECK(tiles.value(1, 63, 1) == 0.0f);
}

TEST_CASE("2.1 messages: tiles of keys and values") {
    CHECK_THROWS_WITH_AS(tiles_for("t", 0, 2, 8),
                         "t: slots, kv_heads and head_dim must be positive, found 0, 2, 8",
                         Error);
    CHECK_THROWS_WITH_AS(tiles_for("t", 1, 0, 8),
                         "t: slots, kv_heads and head_dim must be positive, found 1, 0, 8",
                         Error);
    CHECK_THROWS_WITH_AS(tiles_for("t", 1, 2, 0),
                         "t: slots, kv_heads and head_dim must be positive, found 1, 2, 0",
                         Error);
    CHECK(tiles_for("t", 1, 1, 1) == 1);

    KvTiles tiles(64, 2, 8), more(65, 2, 8);
    const Tensor flat({2, 8}), rows = random_tensor({2, 2, 8}, 1);
    CHECK_THROWS_WITH_AS(tiles.write(0, flat.view(), flat.view()),
                         "kv tiles: expected keys [T, Hkv, D], found [2, 8]", Error);
    CHECK_THROWS_WITH_AS(tiles.write(63, rows.view(), rows.view()),
                         "kv tiles: 2 slots from 63 on are outside of 64", Error);
    CHECK_THROWS_WITH_AS(tiles.write(-1, rows.view(), rows.view()),
                         "kv tiles: 2 slots from -1 on are outside of 64", Error);
    tiles.write(62, rows.view(), rows.view());
    CHECK(tiles.key(1, 63, 7) == rows(1, 1, 7));

    CHECK_THROWS_WITH_AS(more.copy_from(KvTiles(64, 1, 8), 1),
                         "kv tiles: copy between different shapes", Error);
    CHECK_THROWS_WITH_AS(more.copy_from(KvTiles(64, 2, 7), 1),
                         "kv tiles: copy between different shapes", Error);
    CHECK_THROWS_WITH_AS(more.copy_from(tiles, -1), "kv tiles: cannot copy -1 slots", Error);
    CHECK_THROWS_WITH_AS(more.copy_from(tiles, 65), "kv tiles: cannot copy 65 slots", Error);
    CHECK_THROWS_WITH_AS(tiles.copy_from(more, 65), "kv tiles: cannot copy 65 slots", Error);
    CHECK_NOTHROW(more.copy_from(tiles, 0));
    more.copy_from(tiles, 64);
    KvTiles same(64, 2, 8);
    CHECK_NOTHROW(same.copy_from(more, 64));
    CHECK(more.value(1, 63, 7) == rows(1, 1, 7));
}

TEST_CASE("2.2 messages: shapes of stores") {
    CHECK_THROWS_WITH_AS(check_kv_shape("s", {1, 3, 2, 8}),
                         "s: 3 query heads do not share 2 KV heads evenly", Error);
    CHECK_NOTHROW(check_kv_shape("s", {1, 4, 2, 8}));
    CHECK_NOTHROW(check_kv_shape("s", {4096, 4096, 4096, 4096}));
    CHECK_THROWS_WITH_AS(check_kv_shape("s", {0, 4, 2, 8}),
                         "s: layers: expected 1 to 4096, found 0", Error);
    CHECK_THROWS_WITH_AS(check_kv_shape("s", {1, 4097, 2, 8}),
                         "s: query heads: expected 1 to 4096, found 4097", Error);
    CHECK_THROWS_WITH_AS(check_kv_shape("s", {1, 4, 0, 8}),
                         "s: KV heads: expected 1 to 4096, found 0", Error);
    CHECK_THROWS_WITH_AS(check_kv_shape("s", {1, 4, 2, 4097}),
                         "s: head_dim: expected 1 to 4096, found 4097", Error);
}

TEST_CASE("2.2 messages: the store without a cache") {
    WholeSequence store({2, 4, 2, 8}, 5);
    const Tensor rows = random_tensor({5, 2, 8}, 1), fewer({4, 2, 8}), flat({5, 16});
    CHECK_THROWS_WITH_AS(store.begin(0),
                         "no cache: a step of 0 tokens does not fit the context of 5", Error);
    CHECK_THROWS_WITH_AS(store.begin(6),
                         "no cache: a step of 6 tokens does not fit the context of 5", Error);
    store.begin(5);
    CHECK_THROWS_WITH_AS(store.append(0, fewer.view(), fewer.view()),
                         "no cache: a step of 5 tokens, found [4, 2, 8]", Error);
    CHECK_THROWS_WITH_AS(store.append(0, flat.view(), flat.view()),
                         "no cache: a step of 5 tokens, found [5, 16]", Error);
    CHECK_THROWS_WITH_AS(store.append(-1, rows.view(), rows.view()), "no cache: no layer -1",
                         Error);
    CHECK_THROWS_WITH_AS(store.append(2, rows.view(), rows.view()), "no cache: no layer 2",
                         Error);
    ThreadPool pool(1);
    const Tensor q({5, 4, 8});
    Tensor out({5, 4, 8});
    CHECK_THROWS_WITH_AS(store.attend(1, q.view(), out.view(), pool),
                         "no cache: layer 1 has no keys yet", Error);
    store.append(1, rows.view(), rows.view());
    CHECK(store.attend(1, q.view(), out.view(), pool).pairs == 4 * 15);
    CHECK_THROWS_WITH_AS(store.truncate(1), "no cache: cannot keep 1 tokens", Error);
    CHECK_NOTHROW(store.truncate(0));
}

TEST_CASE("2.2 messages: an engine takes its own matrices and rows of one shape") {
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

TEST_CASE("2.2 messages: positions and heads that the table of angles does not have") {
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

TEST_CASE("2.2 messages: a configuration that cannot be") {
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
    for (const float bad : {0.0f, 1.0f, -1.0f, kNoNumber})
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

TEST_CASE("2.7 messages: what a model file is refused for") {
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

TEST_CASE("2.7 messages: a tokenizer of another size than the embedding") {
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
        SessionOptions options;
        options.model = path.string();
        return Session(options).encode("a");
    };
    CHECK(open(256) == std::vector<Token>{'a'});
    for (const Index vocab : {255, 257})
        CHECK_THROWS_WITH_AS(
            open(vocab),
            concat(path.string(), ": the tokenizer has 256 tokens, the embedding ", vocab)
                .c_str(),
            Error);
}

TEST_CASE("2.2 messages: a decoder says which sequence") {
    Loaded m(short_config());
    const auto tokens = random_tokens(17, 96, 1);
    const auto first = [&](std::size_t n) { return std::span(tokens).first(n); };
    CHECK_THROWS_WITH_AS(Decoder(nullptr, *m.engine), "decoder: no model", Error);
    CHECK_THROWS_WITH_AS(m.decoder.forward(std::span<const SequenceStep>()),
                         "decoder: an empty batch", Error);
    WholeSequence other(m.decoder.kv_shape(), 40), foreign({2, 4, 4, 16}, 40);
    CHECK_THROWS_WITH_AS(m.decoder.forward(foreign, first(1)),
                         "decoder: sequence 0: its store was made for another model", Error);
    const SequenceStep nowhere{nullptr, first(1), LogitsOf::last};
    CHECK_THROWS_WITH_AS(m.decoder.forward({&nowhere, 1}),
                         "decoder: sequence 0: its store was made for another model", Error);
    FarEngine far;
    Decoder away(load_model(m.source, far), far);
    CHECK_THROWS_WITH_AS(
        away.forward(m.store, first(1)),
        "decoder: sequence 0: its store works in another memory than the engine", Error);
    const std::vector<SequenceStep> twice = {
        {&m.store, first(3)}, {&other, first(2)}, {&m.store, first(1)}};
    CHECK_THROWS_WITH_AS(m.decoder.forward(twice), "decoder: sequences 0 and 2 share one store",
                         Error);
    CHECK_NOTHROW(m.decoder.forward(std::span(twice).first(2)));
    CHECK_THROWS_WITH_AS(
        m.decoder.forward(m.store, tokens),
        "decoder: sequence 0: positions up to 16 are outside of the model's context of 16",
        Error);
    CHECK_NOTHROW(m.decoder.forward(m.store, first(16)));

    const PlainDecoder plain(m.source);
    CHECK_THROWS_WITH_AS(plain.forward({}), "plain decoder: 1 to 16 tokens, found 0", Error);
    CHECK_THROWS_WITH_AS(plain.forward(tokens), "plain decoder: 1 to 16 tokens, found 17",
                         Error);
    CHECK(plain.forward(first(16)).dim(0) == 16);
    CHECK(plain.forward(first(1)).dim(0) == 1);
    for (const Token bad : {-1, 96})
        CHECK_THROWS_WITH_AS(
            plain.forward(std::vector<Token>{bad}),
            concat("plain decoder: token ", bad, " is outside of the vocabulary").c_str(),
            Error);
    CHECK_NOTHROW(plain.forward(std::vector<Token>{95, 0}));
}

TEST_CASE("2.2 messages: a number that is not finite is found with the observer still there") {
    BreakingEngine engine;
    Decoder decoder(load_model(Sample(small_config()), engine), engine);
    WholeSequence store(decoder.kv_shape(), 8);
    Counter counter;
    decoder.set_observer(&counter);
    const std::vector<Token> tokens = {1, 2, 3};
    const auto run = [&] { decoder.forward(store, tokens); };
    run();
    const Index calls = std::exchange(counter.calls, 0);
    for (const bool fails : {false, true}) {
        engine.broken = true;
        engine.fails = fails;
        if (fails)
            CHECK_THROWS_WITH_AS(run(), "the engine broke", Error);
        else
            CHECK_THROWS_WITH_AS(run(),
                                 "m.gguf: a number that is not finite: embedding, position 0, "
                                 "element 3: nan",
                                 Error);
        CHECK(counter.calls == calls);  // of the first pass; the second has an observer itself
        engine.broken = false;
        counter.calls = 0;
        run();
        CHECK(std::exchange(counter.calls, 0) == calls);
    }
}

TEST_CASE("2.4 messages: a generator says what it cannot begin with") {
    Loaded m(short_config());
    Generator generator(m.decoder);
    const auto tokens = random_tokens(17, 96, 1);
    const auto add = [&](std::size_t P, Index steps) {
        return generator.add(m.store, std::span(tokens).first(P), steps);
    };
    CHECK_THROWS_WITH_AS(add(0, 3), "generate: the prompt is empty", Error);
    CHECK_THROWS_WITH_AS(add(1, -1), "generate: steps must not be negative, found -1", Error);
    CHECK_THROWS_WITH_AS(
        add(17, 1), "generate: a prompt of 17 tokens does not fit the model's context of 16",
        Error);
    CHECK(generator.sequences() == 0);
    CHECK(add(1, 0) == 0);
    CHECK(generator.finish(0) == Finish::length);
    CHECK(add(16, 1) == 1);
    generator.run();
    CHECK(generator.generated(1).size() == 1);
    CHECK_THROWS_WITH_AS(generator.finish(2), "generate: there is no sequence 2", Error);
    CHECK_THROWS_WITH_AS(generator.finish(-1), "generate: there is no sequence -1", Error);
}

TEST_CASE("2.6 messages: scores say what they cannot score") {
    CHECK_THROWS_WITH_AS(log_sum_exp({}), "score: no logits", Error);
    CHECK(log_sum_exp(std::vector<float>{3.0f}) == 3.0);
    const std::vector<float> even(4, 0.0f);
    for (const Token bad : {-1, 4})
        CHECK_THROWS_WITH_AS(surprise_bits(even, bad),
                             concat("score: token ", bad, " is outside of 4 logits").c_str(),
                             Error);
    for (const Token good : {0, 3}) CHECK(surprise_bits(even, good) == doctest::Approx(2.0));

    const auto tokens = random_tokens(9, 96, 1);
    const auto count = [&](std::size_t n, Token bos, Index window) {
        return TextWindows(std::span(tokens).first(n), bos, window).count();
    };
    CHECK_THROWS_WITH_AS(count(7, 1, 8),
                         "score: the text of 7 tokens is shorter than a window of 8", Error);
    CHECK(count(8, 1, 8) == 1);
    CHECK(count(9, kNoToken, 8) == 1);
    CHECK_THROWS_WITH_AS(count(9, 1, 0), "score: a window of 0 tokens", Error);
    CHECK(count(9, 1, 1) == 9);

    Loaded small(short_config());
    Config config = tiny_config();
    config.context = 16;
    Loaded tiny(config);
    const std::vector<std::uint8_t> text(17, 'a');
    const auto bits = [&](Loaded& m, Index window) {
        const MakeStore make = [&](Index n) {
            return std::make_unique<WholeSequence>(m.decoder.kv_shape(), n);
        };
        return bits_per_byte(m.decoder, make, text, 0, window).windows;
    };
    CHECK_THROWS_WITH_AS(
        bits(small, 8),
        "bits per byte: expected a model of 256 bytes, found a vocabulary of 96", Error);
    CHECK_THROWS_WITH_AS(bits(tiny, 0),
                         "bits per byte: a window of 0 does not fit the context of 16", Error);
    CHECK_THROWS_WITH_AS(bits(tiny, 17),
                         "bits per byte: a window of 17 does not fit the context of 16", Error);
    CHECK(bits(tiny, 16) == 1);
    CHECK(bits(tiny, 1) == 17);

    const auto sink = [&](Index from) {
        return sink_mass(small.decoder, small.store, std::span(tokens).first(3), from).size();
    };
    CHECK_THROWS_WITH_AS(sink(3), "sink mass: no queries at or after position 3", Error);
    CHECK_THROWS_WITH_AS(sink(-1), "sink mass: no queries at or after position -1", Error);
    CHECK(sink(2) == 2);
    CHECK(sink(0) == 2);
}

TEST_CASE("2.6 messages: a file of recall cases has one at least") {
    const Folder folder;
    folder.write("none", {});
    const std::string path = (folder / "none").string();
    CHECK_THROWS_WITH_AS(read_recall_cases(path),
                         (path + ": expected recall cases, one in a line, found none").c_str(),
                         Error);
}

TEST_CASE("2.6 messages: a line of recall cases") {
    const auto read = [](const std::string& line) { return RecallLine(line, "f").read(); };
    const std::string expected =
        "f: expected an object with kind, distance, text and answer, found ";
    CHECK_THROWS_WITH_AS(read("{"), (expected + "no JSON").c_str(), Error);
    CHECK_THROWS_WITH_AS(read("[1]"), (expected + "'[1]'").c_str(), Error);
    const auto line = [](const std::string& kind, const std::string& distance,
                         const std::string& answer) {
        return R"({"kind":)" + kind + R"(,"distance":)" + distance +
               R"(,"text":"abc","answer":)" + answer + "}";
    };
    const RecallCase good = read(line("\"k\"", "9223372036854775807", "[0, 2]"));
    CHECK(good.distance == std::numeric_limits<Index>::max());
    CHECK(good.answers == std::vector<Index>{0, 2});
    CHECK_THROWS_WITH_AS(read("{}"), "f: kind: expected in the object, found no such field",
                         Error);
    CHECK_THROWS_WITH_AS(read(R"({"kind":"k","distance":1})"),
                         "f: text: expected in the object, found no such field", Error);
    CHECK_THROWS_WITH_AS(read(line("\"\"", "1", "[0]")),
                         "f: kind: expected a text that is not empty, found '\"\"'", Error);
    CHECK_THROWS_WITH_AS(read(line("\"k\"", "-1", "[0]")),
                         "f: distance: expected a whole number from 0 on, found '-1'", Error);
    CHECK_THROWS_WITH_AS(
        read(line("\"k\"", "9223372036854775808", "[0]")),
        "f: distance: expected a whole number from 0 on, found '9223372036854775808'", Error);
    CHECK_THROWS_WITH_AS(read(line("\"k\"", "1", "[3]")),
                         "f: answer: expected a place in the text, 0 to 2, found '3'", Error);
    CHECK_THROWS_WITH_AS(
        read(line("\"k\"", "1", "[]")),
        "f: answer: expected an array of places in the text, one at least, found '[]'", Error);
}

TEST_SUITE_END();
