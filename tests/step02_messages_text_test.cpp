// What decoders, generators and scores say when they refuse, word for word,
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

constexpr float kNoNumberText = std::numeric_limits<float>::quiet_NaN();

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
        x(0, 3) = kNoNumberText;
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

TEST_CASE("messages: a decoder says which sequence") {
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

TEST_CASE("messages: a number that is not finite is found with the observer still there") {
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

TEST_CASE("messages: who watched before watches again when a measurement fails") {
    BreakingEngine engine;
    Decoder decoder(load_model(Sample(tiny_config()), engine), engine);
    WholeSequence store(decoder.kv_shape(), 8);
    Counter counter;
    decoder.set_observer(&counter);
    const std::vector<Token> tokens = {1, 2, 3};
    engine.broken = true;
    CHECK_THROWS_AS(sink_mass(decoder, store, tokens, 0), Error);
    engine.broken = false;
    CHECK(counter.calls == 0);
    decoder.forward(store, tokens);
    CHECK(std::exchange(counter.calls, 0) > 0);
    // An answer that lies nowhere is refused before anything is computed.
    CHECK_THROWS_WITH_AS(right_answers(decoder, store, {"recall", 1, "abc", {3}}, 0),
                         "recall: answer 3 is outside of its text", Error);
    CHECK(counter.calls == 0);
}

TEST_CASE("messages: a generator says what it cannot begin with") {
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

TEST_CASE("messages: scores say what they cannot score") {
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
    CHECK_THROWS_WITH_AS(count(7, 1, 8), "score: a text of 7 tokens; a window of 8 needs 8",
                         Error);
    CHECK_THROWS_WITH_AS(count(8, kNoToken, 8),
                         "score: a text of 8 tokens; a window of 8 needs 9", Error);
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

TEST_CASE("messages: a file of recall cases has one at least") {
    const Folder folder;
    folder.write("none", {});
    const std::string path = (folder / "none").string();
    CHECK_THROWS_WITH_AS(read_recall_cases(path),
                         (path + ": expected recall cases, one in a line, found none").c_str(),
                         Error);
}

TEST_CASE("messages: a line of recall cases") {
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
