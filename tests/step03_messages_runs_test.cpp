// What prompts, verify and what measures runs say when they refuse, word for word,
// and beside it the last value that is still taken.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/generate.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/kvcache/closed_forms.hpp>
#include <kvlab/kvcache/compare_window.hpp>
#include <kvlab/kvcache/diverge.hpp>
#include <kvlab/kvcache/loose_engine.hpp>
#include <kvlab/kvcache/naive_cache.hpp>
#include <kvlab/kvcache/narrow_tiles.hpp>
#include <kvlab/kvcache/prefill.hpp>
#include <kvlab/kvcache/quality.hpp>
#include <kvlab/kvcache/split_store.hpp>
#include <kvlab/kvcache/verify.hpp>
#include <kvlab/kvcache/work.hpp>

#include "models.hpp"
#include "random_data.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

constexpr Index kUncountable = std::numeric_limits<Index>::max();

// A model with a context of 16 tokens, and a text for it.
struct ShortRun {
    ShortRun()
        : engine(make_cpu_engine()),
          model(load_model(*make_synthetic(config(), 3), *engine)),
          decoder(model, *engine),
          text(random_tokens(40, 96, 1)) {}

    static Config config() {
        Config config = small_config();
        config.context = 16;
        return config;
    }

    std::span<const Token> first(std::size_t n) const { return std::span(text).first(n); }

    std::unique_ptr<Engine> engine;
    std::shared_ptr<const Model> model;
    Decoder decoder;
    std::vector<Token> text;
};

}  // namespace

TEST_SUITE_BEGIN("step03");

TEST_CASE("messages: a prompt in pieces") {
    ShortRun run;
    KvCache cache(run.decoder.kv_shape(), 4);
    WholeSequence none(run.decoder.kv_shape(), 4);
    const auto feed = [&](KvStore& store, std::size_t n, Index chunk) {
        prefill(run.decoder, store, run.first(n), chunk);
        return store.next_position();
    };
    CHECK_THROWS_WITH_AS(feed(cache, 0, 1), "prefill: no tokens", Error);
    CHECK_THROWS_WITH_AS(feed(cache, 1, -1), "prefill: a chunk must not be negative, found -1",
                         Error);
    CHECK_THROWS_WITH_AS(feed(cache, 5, 2),
                         "prefill: 5 tokens do not fit: the store has room for 4", Error);
    CHECK_THROWS_WITH_AS(
        feed(none, 3, 2),
        "prefill: this store does not remember, so a prompt cannot be fed in pieces", Error);
    CHECK_NOTHROW(feed(none, 3, 3));
    CHECK_NOTHROW(feed(none, 3, 0));
    CHECK(feed(cache, 1, 0) == 1);
    CHECK(feed(cache, 3, 1) == 4);
}

TEST_CASE("messages: a generator needs a prompt that its store has not seen") {
    ShortRun run;
    KvCache cache(run.decoder.kv_shape(), 10);
    run.decoder.forward(cache, run.first(3));
    Generator generator(run.decoder);
    CHECK_THROWS_WITH_AS(generator.add(cache, run.first(3), 1),
                         "generate: the store has seen 3 tokens, the prompt has 3", Error);
    CHECK_THROWS_WITH_AS(generator.add(cache, run.first(2), 1),
                         "generate: the store has seen 3 tokens, the prompt has 2", Error);
    CHECK(generator.add(cache, run.first(4), 1) == 0);
    generator.run();
    CHECK(cache.next_position() == 4);
}

TEST_CASE("messages: what verify cannot compare") {
    ShortRun run;
    const auto tokens = [&](std::size_t P, Index steps, std::vector<Index> chunks) {
        const std::vector<std::vector<Token>> prompts = {
            {run.text[0]},
            {run.text.begin() + 1, run.text.begin() + 1 + static_cast<Index>(P)}};
        VerifyOptions options;
        options.steps = steps;
        options.chunks = std::move(chunks);
        return verify(run.decoder, prompts, options).tokens;
    };
    CHECK_THROWS_WITH_AS(verify(run.decoder, {}, {}), "verify: no prompts", Error);
    CHECK_THROWS_WITH_AS(tokens(0, 1, {}), "verify: prompt 1 is empty", Error);
    CHECK_THROWS_WITH_AS(tokens(3, 15, {}),
                         "verify: prompt 1 and 15 steps do not fit the context of 16", Error);
    CHECK(tokens(3, 14, {}) == 28);  // the last of them is not fed
    CHECK_THROWS_WITH_AS(tokens(3, 1, {1, -1}),
                         "verify: a piece must not be negative, found -1", Error);
    CHECK(tokens(3, 1, {1, 0}) == 2);
    CHECK_THROWS_WITH_AS(
        tokens(3, kUncountable, {}),
        "verify: prompt and steps: 1 + 9223372036854775807 does not fit in 64 bits", Error);
    CHECK_THROWS_WITH_AS(tokens(3, 0, {}), "verify: 0 steps", Error);
    CHECK_THROWS_WITH_AS(tokens(3, -1, {}), "verify: -1 steps", Error);
}

TEST_CASE("messages: closed forms and the cost model count from one") {
    const std::string least =
        ": the prompt and what is generated have at least one token each, "
        "found ";
    CostModel model(small_config());
    for (const bool cached : {true, false}) {
        CHECK_THROWS_WITH_AS(tokens_processed(0, 1, cached),
                             ("closed form" + least + "0 and 1").c_str(), Error);
        CHECK_THROWS_WITH_AS(tokens_processed(1, 0, cached),
                             ("closed form" + least + "1 and 0").c_str(), Error);
        CHECK(tokens_processed(1, 1, cached) == 1);
        CHECK_THROWS_WITH_AS(model.generate(0, 1, cached),
                             ("cost model" + least + "0 and 1").c_str(), Error);
        CHECK_THROWS_WITH_AS(model.generate(1, 0, cached),
                             ("cost model" + least + "1 and 0").c_str(), Error);
        CHECK(model.generate(1, 1, cached).steps == 1);
    }
    const auto per_token = [](const CacheShape& shape) { return shape.per_token(); };
    const std::string positive =
        "closed form: layers, KV heads, head_dim and bytes must be positive, found ";
    CHECK_THROWS_WITH_AS(per_token({0, 1, 1, 1}), (positive + "0, 1, 1, 1").c_str(), Error);
    CHECK_THROWS_WITH_AS(per_token({1, 0, 1, 1}), (positive + "1, 0, 1, 1").c_str(), Error);
    CHECK_THROWS_WITH_AS(per_token({1, 1, 0, 1}), (positive + "1, 1, 0, 1").c_str(), Error);
    CHECK_THROWS_WITH_AS(per_token({1, 1, 1, 0}), (positive + "1, 1, 1, 0").c_str(), Error);
    CHECK(per_token({1, 1, 1, 1}) == 2);
    const CacheShape shape{1, 1, 1, 1};
    CHECK_THROWS_WITH_AS(shape.crossover(0), "closed form: weights and batch must be positive",
                         Error);
    CHECK_THROWS_WITH_AS(shape.crossover(1, 0),
                         "closed form: weights and batch must be positive", Error);
    CHECK(shape.crossover(1, 1) == 1);
}

TEST_CASE("messages: quality is of positions, a share and pieces") {
    Shift shift;
    const auto quantile = [&](double share) { return shift.kl_quantile(share); };
    CHECK_THROWS_WITH_AS(quantile(0.5), "quality: no positions, or no share: 0.5", Error);
    shift.kl = {3.0, 1.0, 2.0};
    for (const double bad : {-0.25, 1.25, std::nan("")})
        CHECK_THROWS_WITH_AS(
            quantile(bad), concat("quality: no positions, or no share: ", bad).c_str(), Error);
    CHECK(quantile(0) == 1.0);
    CHECK(quantile(1) == 3.0);

    const std::vector<float> two = {0.0f, 1.0f}, three = {0.0f, 1.0f, 2.0f};
    const NextToken p(two), q(three);
    CHECK_THROWS_WITH_AS(shift.add(p, p, 0), "quality: a position of no window", Error);
    shift.begin_window();
    shift.add(p, p, 0);
    CHECK(shift.windows.back().positions == 1);
    CHECK_THROWS_WITH_AS(kl_bits(p, q), "quality: rows of 2 and 3 logits", Error);
    for (const Token bad : {-1, 2})
        CHECK_THROWS_WITH_AS(p.bits(bad),
                             concat("quality: token ", bad, " is outside of 2 logits").c_str(),
                             Error);
    CHECK(p.bits(1) > 0);

    ShortRun run;
    const auto measure = [&](Index window, Index piece) {
        return measure_quality(run.model, *run.engine, {run.text, 1, window}, kv_formats(),
                               piece)
            .positions;
    };
    CHECK_THROWS_WITH_AS(measure(17, 0),
                         "quality: a window of 17 does not fit the model's context of 16",
                         Error);
    CHECK_THROWS_WITH_AS(measure(16, -1), "quality: a piece must not be negative, found -1",
                         Error);
    CHECK(measure(16, 0) == 32);

    KvCache cache(run.decoder.kv_shape(), 4);
    const auto compare = [&](std::size_t input, std::size_t targets, std::size_t rows,
                             Index piece) {
        const std::vector<NextToken> expected(rows, p);
        Index seen = 0;
        compare_window(run.decoder, cache, run.first(input), run.first(targets), expected,
                       piece, [&](const NextToken&, const NextToken&, Token) { ++seen; });
        return seen;
    };
    const auto refused = [](const char* what) {
        return std::string("compare window: ") + what;
    };
    CHECK_THROWS_WITH_AS(compare(2, 1, 2, 0),
                         refused("2 tokens, 1 targets, 2 rows, pieces of 0").c_str(), Error);
    CHECK_THROWS_WITH_AS(compare(2, 2, 3, 0),
                         refused("2 tokens, 2 targets, 3 rows, pieces of 0").c_str(), Error);
    CHECK_THROWS_WITH_AS(compare(2, 2, 2, -1),
                         refused("2 tokens, 2 targets, 2 rows, pieces of -1").c_str(), Error);
    CHECK(compare(2, 2, 2, 0) == 2);
}

TEST_CASE("messages: runs that cannot be compared") {
    const OpRecord query{Op::query, 0, {0}, 2, {1, 2}};
    const auto against = [&](auto change) {
        OpRecord other = query;
        change(other);
        Comparison(16).add({query}, {other});
    };
    CHECK_NOTHROW(against([](OpRecord&) {}));
    CHECK_THROWS_WITH_AS(
        against([](OpRecord& other) { other.op = Op::key; }),
        "diverge: step 0: one run does 0 query [2] where the other does 0 key [2]", Error);
    CHECK_THROWS_WITH_AS(
        against([](OpRecord& other) { other.layer = 1; }),
        "diverge: step 0: one run does 0 query [2] where the other does 1 query [2]", Error);
    CHECK_THROWS_WITH_AS(
        against([](OpRecord& other) { other.width = 1; }),
        "diverge: step 0: one run does 0 query [2] where the other does 0 query [1]", Error);
    Comparison comparison(16);
    comparison.add({query}, {query});
    CHECK_THROWS_WITH_AS(comparison.add({query}, {}),
                         "diverge: step 1: one run has 1 operators, the other 0", Error);
    OpRecord key = query;
    key.op = Op::key;
    CHECK_THROWS_WITH_AS(
        comparison.add({query, query}, {query, key}),
        "diverge: step 1: one run does 0 query [2] where the other does 0 key [2]", Error);
    CHECK(comparison.steps() == 1);  // what was refused was not begun

    ShortRun a, b;
    KvCache left(a.decoder.kv_shape(), 8), right(b.decoder.kv_shape(), 8);
    const auto run = [&](std::size_t P, Index steps) {
        return diverge({a.decoder, left}, {b.decoder, right}, a.first(P), steps, {})
            .text.size();
    };
    CHECK_THROWS_WITH_AS(run(0, 1), "diverge: an empty prompt", Error);
    CHECK_THROWS_WITH_AS(run(1, 0), "diverge: 0 steps", Error);
    CHECK(run(1, 1) == 2);
    for (KvCache* const one : {&left, &right}) {
        left.reset();
        right.reset();
        b.decoder.forward(*one, b.first(1));
        CHECK_THROWS_WITH_AS(run(2, 1), "diverge: a store has seen tokens already", Error);
    }
}

TEST_CASE("messages: switches and the engine that has them") {
    CHECK_THROWS_WITH_AS(parse_switch("fast"),
                         "switch fast: none, order, contraction, f16 or split", Error);
    CHECK_THROWS_WITH_AS(make_loose_engine(nullptr, Switch::none), "wrapped engine: no engine",
                         Error);
    const auto exact = make_cpu_engine(), loose = make_loose_engine(make_cpu_engine(), {});
    const Tensor numbers = random_tensor({2, 4}, 1);
    const TensorInfo info{"w", TensorType::f32, {2, 4}, std::as_bytes(numbers.flat())};
    const std::vector<const TensorInfo*> parts = {&info};
    const auto own = loose->load_matrix(parts), other = exact->load_matrix(parts);
    const std::vector<Token> tokens = {1};
    Tensor x({1, 4}), y({1, 2});
    const char* const not_ours = "loose engine: this matrix belongs to another engine";
    CHECK_THROWS_WITH_AS(loose->gather(*other, tokens, x.view()), not_ours, Error);
    CHECK_THROWS_WITH_AS(loose->linear(*other, nullptr, x.view(), y.view()), not_ours, Error);
    loose->gather(*own, tokens, x.view());
    CHECK(x(0, 3) == numbers(1, 3));
    CHECK_NOTHROW(loose->linear(*own, nullptr, x.view(), y.view()));

    const Tensor k({3, 4});
    Tensor out({4});
    const auto attend = [&](Index piece) {
        attention_in_pieces(numbers.view()[0], k.view(), k.view(), piece, out.view());
    };
    for (const Index bad : {0, -1})
        CHECK_THROWS_WITH_AS(attend(bad),
                             concat("attention in pieces: a piece of ", bad, " slots").c_str(),
                             Error);
    CHECK_NOTHROW(attend(1));
}

TEST_SUITE_END();
