// bench.cpp - chapter 5: a decoded token of the tiny model's shape at steady state, one thread:
// each policy at a budget, and beside it a cache that holds everything, at several lengths.
#include <benchmark/benchmark.h>

#include <vector>

#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/kvcache/kv_cache.hpp>
#include <kvlab/policies/registry.hpp>

using namespace kvlab;

namespace {

Config long_context() {
    Config config;
    config.context = 1 << 16;
    return config;
}

struct Machine {
    std::unique_ptr<Engine> engine = make_cpu_engine({1, default_simd_level()});
    Decoder decoder{load_model(*make_synthetic(long_context(), 42), *engine), *engine};
};

Machine& machine() {
    static Machine one;  // its table of angles takes longer to make than a round
    return one;
}

std::vector<Token> text(Index n) {
    std::vector<Token> tokens;
    for (Index i = 0; i < n; ++i) tokens.push_back(static_cast<Token>(i * 37 % 256));
    return tokens;
}

// Argument: tokens held.
void decode_full(benchmark::State& state) {
    Decoder& decoder = machine().decoder;
    const Index held = state.range(0);
    KvCache cache(decoder.kv_shape(), held + 1);
    decoder.forward(cache, text(held));
    const std::vector<Token> next = text(1);
    for (auto _ : state) {
        decoder.forward(cache, next);
        cache.truncate(held);
    }
    state.SetItemsProcessed(state.iterations());
}

void decode_policy(benchmark::State& state, const std::string& name, Index budget) {
    Decoder& decoder = machine().decoder;
    const Index prompt = 2 * budget;
    PolicyContext context = policy_context(decoder, decoder.config().context);
    PolicyOptions options;
    options.budget = budget;
    const auto store = find_policy(name).make(context, options);
    const std::vector<Token> next = text(1);
    Index left = 0;
    for (auto _ : state) {
        if (left-- == 0) {  // the context is full: again from the prompt
            state.PauseTiming();
            store->reset();
            decoder.forward(*store, text(prompt));
            left = decoder.config().context - prompt - 1;
            state.ResumeTiming();
        }
        decoder.forward(*store, next);
    }
    state.SetItemsProcessed(state.iterations());
}

// Of a store that grows: the next tokens behind `held`, then again from there.
void decode_behind(benchmark::State& state, const std::string& name, Index held) {
    constexpr Index kTokens = 64;
    Decoder& decoder = machine().decoder;
    const PolicyContext context = policy_context(decoder, held + kTokens);
    PolicyOptions options;
    options.budget = 256;
    const std::unique_ptr<KvStore> behind = find_policy(name).make(context, options);
    decoder.forward(*behind, text(held));
    const std::vector<Token> next = text(1);
    std::unique_ptr<KvStore> store;
    for (auto _ : state) {
        if (store == nullptr || store->room() == 0) {
            state.PauseTiming();
            store = behind->fork();
            state.ResumeTiming();
        }
        decoder.forward(*store, next);
    }
    state.SetItemsProcessed(state.iterations());
}

// One token goes from each KV head of one layer: the last slot moves into its place, as here,
// or all that stay are gathered into new tiles, as an index_select of a tensor library does.
// Arguments: slots, head_dim.
void drop_by_moving_one(benchmark::State& state) {
    constexpr Index kHeads = 2;
    KvTiles tiles(state.range(0), kHeads, state.range(1));
    Index victim = 0;
    for (auto _ : state) {
        for (Index h = 0; h < kHeads; ++h) tiles.copy_slot(h, state.range(0) - 1, victim);
        victim = (victim + 97) % (state.range(0) - 1);
        benchmark::DoNotOptimize(tiles.key_tile(0, 0));
    }
}

void drop_by_gathering_all(benchmark::State& state) {
    constexpr Index kHeads = 2;
    KvTiles tiles(state.range(0), kHeads, state.range(1));
    KvTiles others(state.range(0), kHeads, state.range(1));
    Index victim = 0;
    for (auto _ : state) {
        for (Index h = 0; h < kHeads; ++h)
            for (Index slot = 0, to = 0; slot < state.range(0); ++slot)
                if (slot != victim) others.copy_slot_from(tiles, h, slot, to++);
        std::swap(tiles, others);
        victim = (victim + 97) % (state.range(0) - 1);
        benchmark::DoNotOptimize(tiles.key_tile(0, 0));
    }
}

void register_policies() {
    for (const Index budget : {128, 256, 512})
        for (const char* name : {"window", "sinks", "sinks-relative", "h2o", "h2o-mean", "tova",
                                 "key-norm-every-layer", "scissorhands", "keyformer", "random"})
            benchmark::RegisterBenchmark(
                concat("decode_policy/", name, "/", budget).c_str(),
                [name, budget](benchmark::State& state) { decode_policy(state, name, budget); })
                ->Unit(benchmark::kMicrosecond);
    for (const Index held : {512, 1024, 4096})
        for (const char* name : {"full", "quest-every-layer", "minicache", "snapkv",
                                 "pyramidkv", "pyramidkv-ratios"})
            benchmark::RegisterBenchmark(
                concat("decode_behind/", name, "/", held).c_str(),
                [name, held](benchmark::State& state) { decode_behind(state, name, held); })
                ->Unit(benchmark::kMicrosecond);
}

[[maybe_unused]] const bool registered = (register_policies(), true);

BENCHMARK(drop_by_moving_one)->Args({257, 16})->Args({257, 64})->Args({2049, 64});
BENCHMARK(drop_by_gathering_all)->Args({257, 16})->Args({257, 64})->Args({2049, 64});

BENCHMARK(decode_full)
    ->Arg(128)
    ->Arg(256)
    ->Arg(512)
    ->Arg(1024)
    ->Arg(2048)
    ->Arg(4096)
    ->Unit(benchmark::kMicrosecond);

}  // namespace
