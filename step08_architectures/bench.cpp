// bench.cpp - chapter 8: what a token costs with each mixer, what it costs to be able to go
// back, and what a recurrence in token order costs beside one in chunks.
//
//   step08_architectures_bench --benchmark_filter=token --benchmark_repetitions=5
#include <benchmark/benchmark.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <kvlab/architectures/draw_model.hpp>
#include <kvlab/architectures/mixed_decoder.hpp>
#include <kvlab/architectures/registry.hpp>
#include <kvlab/architectures/state_kernels.hpp>
#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/tensor/random.hpp>

using namespace kvlab;

namespace {

// The sizes of the models in weights/mixers, with drawn weights: 64 wide, 4 heads.
Config bench_config(const std::vector<std::string>& mixers) {
    Config config;
    config.vocab = 256;
    config.dim = 64;
    config.layers = std::ssize(mixers);
    config.heads = 4;
    config.kv_heads = mixers[0] == "mha" ? 4 : mixers[0] == "mqa" ? 1 : 2;
    config.head_dim = config.rope_dim = 16;
    config.ffn = 172;
    config.context = 1 << 14;
    return config;
}

std::unique_ptr<WeightSource> draw(const std::vector<std::string>& mixers) {
    static const std::vector<std::pair<std::string, Index>> numbers = {
        {"window", 64}, {"stride", 16},   {"dilation", 8},      {"block", 16},
        {"rounds", 4},  {"kv_rank", 24},  {"random_blocks", 2}, {"top_k", 64},
        {"inner", 128}, {"rope_rank", 8}, {"state_size", 16},   {"conv", 4},
        {"dt_rank", 4}};
    std::vector<std::pair<std::string, Index>> keys;
    for (const auto& number : numbers)
        for (const char* key : find_mixer(mixers.back()).keys)
            if (number.first == key) keys.push_back(number);
    std::vector<std::int32_t> kv_layer;
    if (mixers.back() == "shared") kv_layer = {0, 0};
    return draw_mixed_model(bench_config(mixers), mixers, keys, 1, kv_layer);
}

// Two layers of a mixer, and a text.
struct Subject {
    std::unique_ptr<Engine> engine = make_cpu_engine({.threads = 1});
    MixedDecoder decoder;
    std::unique_ptr<MixedStore> store;
    std::vector<Token> text;

    Subject(const std::string& mixer, Index length, Index rewind = 0)
        : decoder(load_mixed_model(*draw({mixer == "shared" ? "gqa" : mixer, mixer}), *engine),
                  *engine),
          store(decoder.make_store({.rewind = rewind, .engine = engine.get()})) {
        Rng rng(42);
        for (Index i = 0; i < length; ++i) text.push_back(static_cast<Token>(rng.below(256)));
    }

    void run(Index first, Index count) {
        decoder.forward(*store, std::span(text).subspan(usize(first), usize(count)));
    }
};

void every_mixer(benchmark::internal::Benchmark* bench) {
    for (Index i = 0; i < std::ssize(all_mixers()); ++i)
        for (const Index held : {512, 4096}) bench->Args({i, held});
}

// One token, of 256 that follow `held` others.
void token(benchmark::State& state) {
    constexpr Index kTokens = 256;
    const MixerEntry& entry = at(all_mixers(), state.range(0));
    const Index held = state.range(1);
    Subject subject(entry.name, held + kTokens);
    subject.run(0, held);
    for (auto _ : state) subject.run(subject.store->next_position(), 1);
    state.SetLabel(entry.name);
}

BENCHMARK(token)->Apply(every_mixer)->Iterations(256)->Unit(benchmark::kMicrosecond);

// A prompt.
void prompt(benchmark::State& state) {
    const MixerEntry& entry = at(all_mixers(), state.range(0));
    Subject subject(entry.name, state.range(1));
    for (auto _ : state) {
        subject.store->reset();
        subject.run(0, state.range(1));
    }
    state.SetItemsProcessed(state.iterations() * state.range(1));
    state.SetLabel(entry.name);
}

BENCHMARK(prompt)->Apply(every_mixer)->Unit(benchmark::kMillisecond);

const std::vector<std::string> kRecurrent = {"linear", "delta", "s4d", "mamba", "rwkv"};

// Tokens with copies of the state for going back so far: 0 keeps none.
void with_copies(benchmark::State& state) {
    const std::string& mixer = at(kRecurrent, state.range(0));
    Subject subject(mixer, 1024 + 2048, state.range(1));
    subject.run(0, 1024);
    for (auto _ : state) subject.run(subject.store->next_position(), 1);
    state.counters["bytes"] = static_cast<double>(subject.store->bytes().allocated);
    state.SetLabel(mixer);
}

BENCHMARK(with_copies)
    ->ArgsProduct({{0, 1, 2, 3, 4}, {0, 64, 1024}})
    ->Iterations(2048)
    ->Unit(benchmark::kMicrosecond);

// Going back by so many tokens from 128 + 63: the copy of 128 is taken out, and the rows behind
// it are run again.
void go_back(benchmark::State& state) {
    const std::string& mixer = at(kRecurrent, state.range(0));
    constexpr Index kLength = 191;
    Subject subject(mixer, kLength, 64);
    subject.run(0, kLength);
    for (auto _ : state) {
        subject.store->truncate(kLength - state.range(1));
        state.PauseTiming();
        subject.run(kLength - state.range(1), state.range(1));
        state.ResumeTiming();
    }
    state.SetLabel(mixer);
}

BENCHMARK(go_back)
    ->ArgsProduct({{0, 1, 2, 3, 4}, {1, 63}})
    ->Iterations(200)
    ->Unit(benchmark::kMicrosecond);

// s[t] = decay[t] s[t-1] + u[t] of `width` channels and 512 tokens, which both forms of a scan
// compute with the same kernels.
struct Scan {
    static constexpr Index kTokens = 512, kChunk = 64;
    Index width;
    ThreadPool pool;
    const StateKernels& kernels = state_kernels(default_simd_level());
    std::vector<float> decay, u, states, products;

    Scan(Index channels, Index threads)
        : width(channels),
          pool(threads),
          states(usize(kTokens * channels)),
          products(usize(kTokens * channels)) {
        Rng rng(3);
        for (Index i = 0; i < kTokens * width; ++i) {
            decay.push_back(rng.uniform());
            u.push_back(rng.normal());
        }
    }

    // states[t] of channels [first, last) from those of t - 1.
    void step(Index t, Index first, Index last, const float* before) {
        const Index place = t * width + first;
        float* s = &at(states, place);
        kernels.multiply(&at(decay, place), before, last - first, s);
        kernels.add(s, &at(u, place), last - first, s);
    }

    // Token after token; threads share the channels.
    void in_order() {
        const Index parts = pool.threads();
        const std::vector<float> zeros(usize(width));
        pool.run(parts, [&](Index part) {
            const Index first = width * part / parts, last = width * (part + 1) / parts;
            for (Index t = 0; t < kTokens; ++t)
                step(t, first, last,
                     t == 0 ? zeros.data() : &at(states, (t - 1) * width + first));
        });
    }

    // Chunks from zero, threads share them; then what was before each is added.
    void in_chunks() {
        const std::vector<float> zeros(usize(width));
        pool.run(kTokens / kChunk, [&](Index chunk) {
            for (Index t = chunk * kChunk; t < (chunk + 1) * kChunk; ++t) {
                const bool begins = t == chunk * kChunk;
                const Index place = t * width, last = place - width;
                step(t, 0, width, begins ? zeros.data() : &at(states, last));
                if (begins)
                    std::copy_n(&at(decay, place), width, &at(products, place));
                else
                    kernels.multiply(&at(products, last), &at(decay, place), width,
                                     &at(products, place));
            }
        });
        for (Index chunk = 1; chunk < kTokens / kChunk; ++chunk) {
            const float* before = &at(states, (chunk * kChunk - 1) * width);
            pool.run(kChunk, [&](Index i) {
                const Index place = (chunk * kChunk + i) * width;
                float *s = &at(states, place), *product = &at(products, place);
                kernels.multiply(product, before, width, product);
                kernels.add(s, product, width, s);
            });
        }
    }
};

// What the order of the contract costs, and what it saves: with chunks (1) or without (0).
void scan(benchmark::State& state) {
    Scan subject(state.range(0), state.range(1));
    for (auto _ : state) {
        if (state.range(2) == 1)
            subject.in_chunks();
        else
            subject.in_order();
        benchmark::DoNotOptimize(subject.states.data());
    }
    state.SetItemsProcessed(state.iterations() * Scan::kTokens);
    state.SetLabel(state.range(2) == 1 ? "chunks of 64" : "token order");
}

BENCHMARK(scan)
    ->ArgsProduct({{64, 2048}, {1, 2}, {0, 1}})
    ->UseRealTime()
    ->Unit(benchmark::kMicrosecond);

}  // namespace
