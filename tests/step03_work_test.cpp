// Step 3: the work that is counted equals the work that is predicted, as whole numbers; and the
// closed forms give the figures that every reader has seen somewhere.
#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/generate.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/kvcache/closed_forms.hpp>
#include <kvlab/kvcache/counters.hpp>
#include <kvlab/kvcache/kv_cache.hpp>
#include <kvlab/kvcache/prefill.hpp>

#include "models.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

// A decoder that is watched by counters.
struct Counted {
    explicit Counted(const Config& config, Index threads = 1)
        : engine(make_cpu_engine({threads, default_simd_level()})),
          model(load_model(*make_synthetic(config, 42), *engine)),
          decoder(model, *engine),
          counters(model),
          predicted(config) {
        decoder.set_observer(&counters);
    }

    std::unique_ptr<Engine> engine;
    std::shared_ptr<const Model> model;
    Decoder decoder;
    Counters counters;
    CostModel predicted;
};

std::unique_ptr<KvStore> make_store(const Decoder& decoder, bool cached, Index capacity) {
    if (cached) return std::make_unique<KvCache>(decoder.kv_shape(), capacity);
    return std::make_unique<WholeSequence>(decoder.kv_shape(), capacity);
}

void check_equal(const Work& counted, const Work& predicted) {
    const auto a = work_lines(counted), b = work_lines(predicted);
    for (std::size_t i = 0; i < a.size(); ++i) {
        CAPTURE(a[i].first);
        CHECK(a[i].second == b[i].second);
    }
    CHECK(counted == predicted);
}

}  // namespace

TEST_SUITE_BEGIN("step03");

TEST_CASE("work: counted equals predicted with and without a cache for MHA GQA MQA and GPT-2") {
    std::vector<Config> configs = {tiny_config(), small_gpt2()};
    for (const Index kv_heads : {1, 2, 4}) configs.push_back(small_config(4, kv_heads));
    for (const Config& config : configs)
        for (const bool cached : {true, false})
            for (const auto& lengths :
                 {std::pair<Index, Index>{1, 1}, {1, 5}, {63, 3}, {70, 9}}) {
                const Index P = lengths.first, n = lengths.second;
                CAPTURE(concat(config.name, ", ", config.kv_heads, " KV heads, ", P, " + ", n,
                               cached ? " cached" : " uncached"));
                Counted run(config);
                const auto store = make_store(run.decoder, cached, P + n);
                Generator generator(run.decoder);
                generator.add(*store, random_tokens(P, config.vocab, 3), n);
                generator.run();
                check_equal(run.counters.work(), run.predicted.generate(P, n, cached));
            }
}

TEST_CASE("work: counted equals predicted for long contexts shared over threads") {
    Counted run(small_config(), 3);
    KvCache cache(run.decoder.kv_shape(), 400);
    const auto text = random_tokens(390, 96, 5);
    run.decoder.forward(cache, text);
    run.counters.reset();
    // From 512 slots on, one token's tiles are shared out; a longer context
    // takes another model.
    run.decoder.forward(cache, std::span(text).first(1));
    check_equal(run.counters.work(), run.predicted.step({390, 1}));

    Config longer = small_config();
    longer.context = 700;
    Counted wide(longer, 3);
    KvCache large(wide.decoder.kv_shape(), 700);
    wide.decoder.forward(large, random_tokens(650, 96, 6));
    wide.counters.reset();
    wide.decoder.forward(large, random_tokens(1, 96, 7));
    check_equal(wide.counters.work(), wide.predicted.step({650, 1}));
}

TEST_CASE("work: a prompt in pieces does the same work but reads the weights once a piece") {
    for (const Index chunk : {1, 7, 64, 100}) {
        CAPTURE(chunk);
        Counted run(small_config());
        KvCache cache(run.decoder.kv_shape(), 100);
        const auto text = random_tokens(100, 96, 8);
        prefill(run.decoder, cache, text, chunk);
        Work expected;
        for (Index past = 0; past < 100; past += chunk)
            expected += run.predicted.step({past, std::min(chunk, 100 - past)});
        check_equal(run.counters.work(), expected);
        CHECK(run.counters.work().kv_projections ==
              run.predicted.step({0, 100}).kv_projections);
    }
}

TEST_CASE("work: a batch shares the weights and nothing else") {
    for (const bool cached : {true, false}) {
        CAPTURE(cached);
        Counted run(small_config(), 2);
        std::vector<std::unique_ptr<KvStore>> stores;
        Generator generator(run.decoder);
        const std::vector<Index> prompts = {1, 5, 8, 30};
        constexpr Index kSteps = 6;
        for (const Index P : prompts) {
            stores.push_back(make_store(run.decoder, cached, P + kSteps));
            generator.add(*stores.back(), random_tokens(P, 96, 9), kSteps);
        }
        generator.run();
        Work expected;
        for (Index i = 0; i < kSteps; ++i) {
            std::vector<StepShape> batch;
            for (const Index P : prompts)
                batch.push_back(cached && i > 0 ? StepShape{P + i - 1, 1}
                                                : StepShape{0, P + i});
            expected += run.predicted.step(batch);
        }
        check_equal(run.counters.work(), expected);
        CHECK(run.counters.work().steps == kSteps);
    }
}

TEST_CASE("work: logits for all rows cost the head once per row") {
    Counted run(small_gpt2());
    KvCache cache(run.decoder.kv_shape(), 40);
    run.decoder.forward(cache, random_tokens(33, 90, 1), LogitsOf::all);
    check_equal(run.counters.work(), run.predicted.step({0, 33, 33}));
}

TEST_CASE("closed forms: the projections of a 7B model are 2276 times fewer") {
    CHECK(tokens_processed(512, 4096, false, LastToken::fed) == 10'487'808);
    CHECK(tokens_processed(512, 4096, true, LastToken::fed) == 4608);
    CHECK(10'487'808 / 4608 == 2276);
    CHECK(10'487'808 % 4608 == 0);
    CHECK(tokens_processed(512, 4096, false) == 10'483'712);
    CHECK(tokens_processed(512, 4096, true) == 4607);
    CHECK(10'483'712.0 / 4607 == doctest::Approx(2275.6).epsilon(1e-5));
    // MHA: 4 * 2 d^2 per layer and token. GQA with 8 KV heads: 2 * (2 d^2 + 2 d Hkv D).
    CHECK(projection_flops(32, 4096, 32, 32, 128) == 32 * Index{4} * 2 * 4096 * 4096);
    CHECK(projection_flops(32, 4096, 32, 8, 128) ==
          32 * Index{2} * (2 * Index{4096} * 4096 + 2 * Index{4096} * 8 * 128));
}

TEST_CASE("closed forms: tokens processed equal the sum over the steps") {
    for (Index P = 1; P < 9; ++P)
        for (Index n = 1; n < 9; ++n) {
            Index fed = 0, not_fed = 0;
            for (Index i = 1; i <= n; ++i) fed += P + i, not_fed += P + i - 1;
            CHECK(tokens_processed(P, n, false, LastToken::fed) == fed);
            CHECK(tokens_processed(P, n, false) == not_fed);
            CHECK(tokens_processed(P, n, true) == P + n - 1);
        }
    CHECK_THROWS_AS(tokens_processed(0, 1, true), Error);
    CHECK_THROWS_AS(tokens_processed(1, 0, false), Error);
}

TEST_CASE("closed forms: the cache of a 7B model in FP16") {
    constexpr Index kGB = Index{1} << 30;
    const CacheShape mha{32, 32, 128}, gqa{32, 8, 128}, mqa{32, 1, 128};
    CHECK(mha.per_token() == 524'288);
    CHECK(mha.total(4096) == 2 * kGB);
    CHECK(mha.total(32768) == 16 * kGB);
    CHECK(mha.total(131072) == 64 * kGB);
    CHECK(mha.total(4096, 8) == 16 * kGB);
    CHECK(mha.total(4096, 32) == 64 * kGB);
    CHECK(mha.total(8192, 32) == 128 * kGB);
    // The same context in half the heads, or in one: 4.000, 1.000 and 0.125 GB at 8192 tokens.
    CHECK(mha.total(8192) == 4 * kGB);
    CHECK(gqa.total(8192) == kGB);
    CHECK(mqa.total(8192) == kGB / 8);
    // distilgpt2 in float16: 6 layers, 12 heads of 64: 18 432 bytes a row.
    CHECK(CacheShape{6, 12, 64}.per_token() == 18'432);
    CHECK(CacheShape{6, 12, 64, 4}.per_token() == 36'864);
}

TEST_CASE("closed forms: where the cache outgrows the weights") {
    const Index weights = Index{7'000'000'000} * 2;
    for (const Index kv_heads : {32, 8, 1})
        for (const Index batch : {1, 16}) {
            const CacheShape shape{32, kv_heads, 128};
            const Index context = shape.crossover(weights, batch);
            CHECK(shape.total(context, batch) >= weights);
            CHECK(shape.total(context - 1, batch) < weights);
        }
    CHECK(CacheShape{32, 32, 128}.crossover(weights) == 26703);
    CHECK(CacheShape{32, 8, 128}.crossover(weights) == 106812);
}

TEST_SUITE_END();
