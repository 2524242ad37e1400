// bench.cpp - chapter 3: whole steps of the tiny model's shape with a cache, one thread, and
// what a cache itself costs. For models from files: step03_kvcache speed.
#include <benchmark/benchmark.h>

#include <vector>

#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/decoder.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/kvcache/kv_cache.hpp>

using namespace kvlab;

namespace {

struct Machine {
    std::unique_ptr<Engine> engine = make_cpu_engine({1, default_simd_level()});
    Decoder decoder{load_model(*make_synthetic(Config{}, 42), *engine), *engine};
};

std::vector<Token> text(Index n) {
    std::vector<Token> tokens;
    for (Index i = 0; i < n; ++i) tokens.push_back(static_cast<Token>(i * 37 % 256));
    return tokens;
}

// Argument: tokens in the cache before.
void decode_token(benchmark::State& state) {
    Machine machine;
    const Index past = state.range(0);
    KvCache cache(machine.decoder.kv_shape(), past + 1);
    if (past > 0) machine.decoder.forward(cache, text(past));
    const std::vector<Token> next = text(1);
    for (auto _ : state) {
        machine.decoder.forward(cache, next);
        cache.truncate(past);
    }
    state.SetItemsProcessed(state.iterations());
}

// Argument: tokens.
void prefill_text(benchmark::State& state) {
    Machine machine;
    const std::vector<Token> tokens = text(state.range(0));
    KvCache cache(machine.decoder.kv_shape(), state.range(0));
    for (auto _ : state) {
        machine.decoder.forward(cache, tokens);
        cache.truncate(0);
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
}

// Argument: tokens in the cache that is copied.
void fork_cache(benchmark::State& state) {
    Machine machine;
    KvCache cache(machine.decoder.kv_shape(), 512);
    machine.decoder.forward(cache, text(state.range(0)));
    for (auto _ : state) benchmark::DoNotOptimize(cache.fork());
    state.SetBytesProcessed(state.iterations() * cache.bytes().logical);
}

BENCHMARK(decode_token)->Arg(0)->Arg(63)->Arg(255)->Arg(511)->Unit(benchmark::kMicrosecond);
BENCHMARK(prefill_text)->Arg(64)->Arg(256)->Arg(512)->Unit(benchmark::kMicrosecond);
BENCHMARK(fork_cache)->Arg(64)->Arg(512)->Unit(benchmark::kMicrosecond);

}  // namespace
