// Step 3: the tracer finds the number that differs, and the switches that break the contract do
// change bits, where they are meant to.
#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <memory>
#include <vector>

#include <kvlab/attention/attention.hpp>
#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/kvcache/diverge.hpp>
#include <kvlab/kvcache/kv_format.hpp>
#include <kvlab/kvcache/loose_engine.hpp>
#include <kvlab/kvcache/split_store.hpp>

#include "models.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

// A model on an engine that keeps the contract, or breaks it by a switch.
struct Subject {
    explicit Subject(const Config& config, Switch which = Switch::none, Index threads = 1)
        : engine(make_loose_engine(make_cpu_engine({threads, default_simd_level()}), which)),
          model(load_model(*make_synthetic(config, 42), *engine)),
          a(model, *engine),
          b(model, *engine) {}

    DivergeReport compare(KvStore& first, KvStore& second, Index P, Index steps) {
        return diverge({a, first}, {b, second}, random_tokens(P, model->config.vocab, 7), steps,
                       {});
    }

    // Cached against uncached.
    DivergeReport compare(Index P, Index steps) {
        KvCache cached(a.kv_shape(), P + steps);
        WholeSequence none(a.kv_shape(), P + steps);
        return compare(cached, none, P, steps);
    }

    std::unique_ptr<Engine> engine;
    std::shared_ptr<const Model> model;
    Decoder a, b;
};

bool says(const Divergence& d, const std::string& words) {
    return likely_cause(d).find(words) != std::string::npos;
}

}  // namespace

TEST_SUITE_BEGIN("step03");

TEST_CASE("diverge: no float of any operator differs with and without the cache") {
    std::vector<Config> configs = {tiny_config(), small_gpt2()};
    for (const Index kv_heads : {1, 4}) configs.push_back(small_config(4, kv_heads));
    for (const Config& config : configs)
        for (const Index P : {1, 5, 63, 65}) {
            CAPTURE(concat(config.name, ", prompt ", P));
            Subject subject(config, Switch::none, P == 5 ? 2 : 1);
            const DivergeReport report = subject.compare(P, 4);
            CHECK(report.comparison.all().differ == 0);
            CHECK_FALSE(report.comparison.first().has_value());
            CHECK(report.fork_step == -1);
            // Step 0 compares P rows of each operator, the others one.
            const Index C = config.dim, D = config.head_dim;
            const Index layer = 6 * C + 2 * (config.heads + config.kv_heads) * D + config.ffn;
            CHECK(report.comparison.all().count ==
                  (P + 3) * (C + config.layers * layer) + 4 * (C + config.vocab));
        }
}

TEST_CASE("diverge: each switch changes bits and the tracer names its operator") {
    for (const Config& config : {tiny_config(), small_config(), small_gpt2()})
        for (const Switch which : {Switch::order, Switch::contraction, Switch::f16}) {
            CAPTURE(config.name);
            CAPTURE(switch_name(which));
            Subject subject(config, which);
            const DivergeReport report = subject.compare(9, 5);
            REQUIRE(report.comparison.first().has_value());
            const Divergence& d = *report.comparison.first();
            // The prompt's many rows take the same kernel in both; then one row against many.
            CHECK(d.step == 1);
            CHECK(d.layer == 0);
            CHECK(d.op == Op::query);
            CHECK(d.position == 9);
            CHECK(d.value_too);
            CHECK(says(d, which == Switch::f16 ? "fewer bits" : "another order"));
            CHECK(report.comparison.max_abs_logits()[0] == 0.0);
            CHECK(report.comparison.max_abs_logits()[1] > 0.0);
        }
}

TEST_CASE("diverge: split attention changes bits from the slot on that begins a piece") {
    for (const Index P : {3, 16, 17, 40}) {
        CAPTURE(P);
        Subject subject(small_config(), Switch::split);
        SplitStore cached(subject.a.kv_shape(), 60, true),
            none(subject.a.kv_shape(), 60, false);
        const DivergeReport report = subject.compare(cached, none, P, 18);
        REQUIRE(report.comparison.first().has_value());
        const Divergence& d = *report.comparison.first();
        CHECK(d.position == std::max(P, SplitStore::kPiece));  // with itself, slot 17
        CHECK(d.op == Op::attention);
        CHECK(d.layer == 0);
        CHECK(says(d, "order of attention's sums"));
    }
}

TEST_CASE("diverge: a loose engine without a switch keeps every bit") {
    const Config config = small_config();
    Subject loose(config);
    const auto engine = make_cpu_engine();
    Decoder decoder(load_model(*make_synthetic(config, 42), *engine), *engine);
    const auto text = random_tokens(70, config.vocab, 5);
    WholeSequence a(decoder.kv_shape(), 70), b(decoder.kv_shape(), 70);
    const auto expected = decoder.forward(a, text, LogitsOf::all).flat();
    const auto found = loose.a.forward(b, text, LogitsOf::all).flat();
    CHECK(compare_bits(expected, found).differ == 0);
}

TEST_CASE("diverge: one piece is the plain attention and several are not") {
    Rng rng(3);
    for (const Index S : {1, 15, 16, 17, 64, 65, 130}) {
        CAPTURE(S);
        const Index D = 16;
        Tensor q({D}), k({S, D}), v({S, D}), plain({D}), whole({D}), pieces({D});
        for (Tensor* t : {&q, &k, &v})
            for (float& x : t->flat()) x = rng.normal();
        attention_plain(q.view(), k.view(), v.view(), plain.view());
        attention_in_pieces(q.view(), k.view(), v.view(), S, whole.view());
        attention_in_pieces(q.view(), k.view(), v.view(), 16, pieces.view());
        CHECK(compare_bits(plain.flat(), whole.flat()).differ == 0);
        CHECK((compare_bits(plain.flat(), pieces.flat()).differ > 0) == (S > 16));
        CHECK(compare_bits(plain.flat(), pieces.flat()).max_abs < 1e-5);
    }
}

TEST_CASE("diverge: a narrow cache differs first in attention") {
    for (const Format format : {&formats::f16, &formats::int8}) {
        CAPTURE(std::string(format->name));
        Subject subject(small_config());
        const auto narrow = make_cache(format, subject.a.kv_shape(), 20);
        KvCache wide(subject.a.kv_shape(), 20);
        const DivergeReport report = subject.compare(wide, *narrow, 6, 3);
        REQUIRE(report.comparison.first().has_value());
        const Divergence& d = *report.comparison.first();
        CHECK(d.step == 0);
        CHECK(d.op == Op::attention);
        CHECK(says(d, "fewer bits"));
    }
}

TEST_CASE("diverge: one flipped bit is found where it is") {
    Subject subject(small_config());
    Recorder recorder;
    subject.a.set_observer(&recorder);
    KvCache cache(subject.a.kv_shape(), 8);
    subject.a.forward(cache, random_tokens(8, 96, 1));
    const StepRecord good = recorder.take();
    for (const Op op : {Op::embedding, Op::key, Op::value, Op::attention, Op::ffn_out}) {
        StepRecord bad = good;
        for (OpRecord& record : bad) {
            if (record.op != op || record.layer > 0) continue;
            float& x = at(record.rows, 5 * record.width + 21);
            x = std::bit_cast<float>(std::bit_cast<std::uint32_t>(x) ^ 1u);
        }
        Comparison comparison(16);
        comparison.add(good, good);
        comparison.add(good, bad);
        CAPTURE(std::string(op_name(op)));
        CHECK(comparison.all().differ == 1);
        const Divergence& d = *comparison.first();
        const bool heads = op == Op::key || op == Op::value || op == Op::attention;
        CHECK(d.step == 1);
        CHECK(d.op == op);
        CHECK(d.layer == (op == Op::embedding ? -1 : 0));
        CHECK(d.position == 5);
        CHECK(d.head == (heads ? 1 : -1));
        CHECK(d.index == (heads ? 5 : 21));
        CHECK(d.ulp == 1);
        if (op == Op::key) CHECK(says(d, "RoPE"));  // the values were equal
        // The map has one number for each operator of each step, and one of them is not 0.
        REQUIRE(comparison.max_ulp().size() == 2);
        Index not_zero = 0;
        for (const auto& step : comparison.max_ulp())
            for (const std::uint64_t ulp : step) not_zero += ulp != 0;
        CHECK(not_zero == 1);
        CHECK(comparison.labels().size() == good.size());
    }
}

TEST_CASE("diverge: a token at another position is seen and both positions are told") {
    Subject subject(small_config());
    const auto text = random_tokens(9, 96, 1);
    const auto record = [&](Index shift) {  // the last token's step, so many places too far
        Recorder recorder;
        KvCache cache(subject.a.kv_shape(), 12);
        subject.a.forward(cache, std::span(text).first(usize(8 + shift)));
        subject.a.set_observer(&recorder);
        subject.a.forward(cache, std::span(text).subspan(8));
        subject.a.set_observer(nullptr);
        return recorder.take();
    };
    Comparison comparison(16);
    comparison.add(record(0), record(1));
    REQUIRE(comparison.first().has_value());
    const Divergence& d = *comparison.first();
    CHECK(d.op == Op::query);
    CHECK(d.position == 8);
    CHECK(d.position_b == 9);
    CHECK(describe(d).find("position 8 (9 in the second run)") != std::string::npos);
    CHECK(says(d, "RoPE: rotated by another position"));
}

TEST_CASE("diverge: a text that forks is fed as the first run chose") {
    Subject subject(small_config(), Switch::f16);
    KvCache cached(subject.a.kv_shape(), 60);
    WholeSequence none(subject.a.kv_shape(), 60);
    const auto prompt = random_tokens(9, 96, 7);
    SamplingOptions sampling;
    sampling.temperature = 1.0f;
    const DivergeReport report =
        diverge({subject.a, cached}, {subject.b, none}, prompt, 50, sampling);
    // The second run alone, free to choose, leaves the text at that very step.
    Subject alone(small_config(), Switch::f16);
    WholeSequence again(alone.a.kv_shape(), 60);
    std::vector<Token> text = prompt;
    Sampler sampler(sampling);
    Index step = 0;
    for (; step < 50; ++step) {
        const auto next =
            static_cast<Token>(sampler.sample(alone.a.forward(again, text).flat()));
        if (next != report.text[text.size()]) break;
        text.push_back(next);
    }
    CHECK(report.fork_step == (step == 50 ? -1 : step));
    CHECK(report.comparison.steps() == 50);
}

TEST_CASE("diverge: what cannot be compared is refused") {
    Subject subject(small_config());
    KvCache a(subject.a.kv_shape(), 8), b(subject.a.kv_shape(), 8);
    CHECK_THROWS_AS(subject.compare(a, b, 0, 1), Error);
    CHECK_THROWS_AS(subject.compare(a, b, 3, 0), Error);
    subject.a.forward(a, random_tokens(2, 96, 1));
    CHECK_THROWS_AS(subject.compare(a, b, 3, 1), Error);
    CHECK_THROWS_AS(parse_switch("fast"), Error);
    for (const Switch which : kSwitches) CHECK(parse_switch(switch_name(which)) == which);
    Comparison comparison(16);
    StepRecord left = {{Op::query, 0, {0}, 2, {1, 2}}}, right = left;
    right[0].op = Op::key;
    CHECK_THROWS_AS(comparison.add(left, right), Error);
    CHECK_THROWS_AS(comparison.add(left, {}), Error);
}

TEST_CASE("diverge: the split store keeps what it is given") {
    Subject subject(small_config());
    SplitStore store(subject.a.kv_shape(), 30, true);
    const auto text = random_tokens(30, 96, 1);
    subject.a.forward(store, std::span(text).first(20));
    const auto copy = store.fork();
    const auto first = subject.a.forward(store, std::span(text).subspan(20, 1)).flat();
    const std::vector<float> expected(first.begin(), first.end());
    CHECK(
        compare_bits(subject.a.forward(*copy, std::span(text).subspan(20, 1)).flat(), expected)
            .differ == 0);
    store.truncate(20);
    CHECK(store.bytes().logical == 20 * 2 * 2 * 2 * 16 * 4);
    CHECK(
        compare_bits(subject.a.forward(store, std::span(text).subspan(20, 1)).flat(), expected)
            .differ == 0);
    CHECK_THROWS_AS(store.begin(10), Error);
    CHECK_THROWS_AS(store.truncate(22), Error);
}

TEST_SUITE_END();
