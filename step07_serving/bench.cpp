// bench.cpp - chapter 7: what serving costs beside the model: a step that is planned, a
// beginning that is looked up, and a token whose keys and values lie in pages.
//
//   step07_serving_bench --benchmark_filter=plan --benchmark_repetitions=5
#include <benchmark/benchmark.h>

#include <memory>
#include <vector>

#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/kvcache/kv_cache.hpp>
#include <kvlab/serving/prefix_index.hpp>
#include <kvlab/serving/scheduler.hpp>
#include <kvlab/tensor/random.hpp>

using namespace kvlab;

namespace {

constexpr KvShape kShape{4, 9, 3, 64};  // SmolLM2's heads, four layers

std::vector<Token> random_tokens(Index count, std::uint64_t seed) {
    Rng rng(seed);
    std::vector<Token> tokens(usize(count));
    for (Token& token : tokens) token = static_cast<Token>(rng.below(256));
    return tokens;
}

// Only counts, so that all of the time is the scheduler's.
class NoModel final : public StepModel {
public:
    std::unique_ptr<PagedCache> make_cache(PagePool& pool) override {
        return std::make_unique<PagedCache>(pool, context());
    }

    Index context() const override { return Index{1} << 20; }

    View<const float> run(std::span<const StepPart> parts) override {
        for (const StepPart& part : parts) part.cache->pretend(std::ssize(part.tokens));
        return {};
    }

    double now() const override { return 0; }

    void wait_until(double) override {}
};

// One step in which `texts` texts write a token each.
void plan(benchmark::State& state) {
    const Index texts = state.range(0), pages = texts * 300;
    NoModel model;
    PagePool pool(kShape, {.pages = pages});
    const std::unique_ptr<PrefixIndex> index = make_chain_index(pool);
    const auto fresh = [&] {
        auto scheduler = std::make_unique<Scheduler>(
            model, pool, SchedulerOptions{.max_running = texts, .token_budget = texts * 64},
            index.get());
        for (Index i = 0; i < texts; ++i) {
            Request request;
            request.prompt = random_tokens(64, static_cast<std::uint64_t>(i));
            request.max_tokens = 10000;
            scheduler->add(std::move(request));
        }
        scheduler->step();
        return scheduler;
    };
    auto scheduler = fresh();
    for (auto _ : state) {
        if (!scheduler->step()) {
            state.PauseTiming();
            scheduler = fresh();
            state.ResumeTiming();
        }
    }
}

BENCHMARK(plan)->Arg(1)->Arg(16)->Arg(64);

// The same with 16 texts of 12 000 tokens in a full pool: what they do not use is held by the
// index for texts that have ended. With 1 a request waits for pages, so each step asks again
// how many there could be.
void plan_full(benchmark::State& state) {
    NoModel model;
    PagePool pool(kShape, {.pages = 8000});
    const auto index = state.range(0) == 0 ? make_chain_index(pool) : make_radix_index(pool);
    Scheduler scheduler(model, pool, {.max_running = 17, .token_budget = 4096}, index.get());
    const auto add = [&](Index prompt, Index count) {
        Request request;
        request.prompt =
            random_tokens(prompt, static_cast<std::uint64_t>(scheduler.requests()));
        request.max_tokens = count;
        scheduler.add(std::move(request));
    };
    for (Index i = 0; i < 400; ++i) add(20 * kTile + 1, 1);
    while (scheduler.step()) {
    }
    for (Index i = 0; i < 16; ++i) add(12000, 3000);
    for (Index i = 0; i < 60; ++i) scheduler.step();
    if (state.range(1) == 1) add(300000, 1);
    for (auto _ : state) scheduler.step();
    if (scheduler.running() != 16) state.SkipWithError("a text came or went");
    state.SetLabel(concat(index->name(), ", ", scheduler.waiting(), " waiting"));
}

BENCHMARK(plan_full)->ArgsProduct({{0, 1}, {0, 1}})->Iterations(2000);

// A prompt of so many pages, found among a thousand others.
void look_up(benchmark::State& state) {
    const Index found = state.range(0), others = 1000;
    PagePool pool(kShape, {.pages = others + found});
    const auto index = state.range(1) == 0 ? make_chain_index(pool) : make_radix_index(pool);
    const auto hold = [&](const std::vector<Token>& tokens) {
        std::vector<PageId> pages;
        for (Index p = 0; p < pool.pages_for(std::ssize(tokens)); ++p)
            pages.push_back(pool.take());
        index->insert("", tokens, pages);
    };
    for (Index i = 0; i < others; ++i)
        hold(random_tokens(pool.page_slots(), static_cast<std::uint64_t>(i + 1)));
    const std::vector<Token> prompt = random_tokens(found * pool.page_slots(), 0);
    hold(prompt);
    for (auto _ : state) benchmark::DoNotOptimize(index->find("", prompt));
    state.SetLabel(index->name());
}

BENCHMARK(look_up)->Args({1, 0})->Args({1, 1})->Args({16, 0})->Args({16, 1});

// A token after `held` others, in pages (1) or one after the other (0).
void token(benchmark::State& state) {
    const Index held = state.range(0);
    PagePool pool(kShape, {.pages = held / kTile + 2});
    std::unique_ptr<KvStore> store;
    if (state.range(1) == 1)
        store = std::make_unique<PagedCache>(pool, held + 1);
    else
        store = std::make_unique<KvCache>(kShape, held + 1);
    Rng rng(42);
    Tensor rows({held, kShape.kv_heads, kShape.head_dim}),
        q({1, kShape.heads, kShape.head_dim}), out({1, kShape.heads, kShape.head_dim});
    for (float& x : rows.flat()) x = rng.normal();
    for (float& x : q.flat()) x = rng.normal();
    store->begin(held);
    for (Index layer = 0; layer < kShape.layers; ++layer)
        store->append(layer, rows.view(), rows.view());
    store->commit();
    ThreadPool one(1);
    const View<const float> row = rows.view().slice(0, 0, 1);
    for (auto _ : state) {
        store->begin(1);
        for (Index layer = 0; layer < kShape.layers; ++layer) {
            store->append(layer, row, row);
            store->attend(layer, q.view(), out.view(), one);
        }
        store->abandon();
    }
    state.SetLabel(state.range(1) == 1 ? "pages" : "contiguous");
}

BENCHMARK(token)->Args({512, 0})->Args({512, 1})->Args({4096, 0})->Args({4096, 1});

}  // namespace
