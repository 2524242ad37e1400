// bench.cpp - chapter 2: attention by itself, one thread: one token over a cache (decode), and
// a text over itself (prefill).
#include <benchmark/benchmark.h>

#include <algorithm>
#include <vector>

#include <kvlab/attention/attention.hpp>
#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/random.hpp>

using namespace kvlab;

namespace {

struct Heads {
    Index query, kv, dim;
};

constexpr Heads kHeads[] = {{4, 2, 16}, {9, 3, 64}, {12, 12, 64}};  // tiny, SmolLM2, distilgpt2

Tensor random_tensor(Shape shape, std::uint64_t seed) {
    Tensor t(shape);
    Rng rng(seed);
    for (float& x : t.flat()) x = rng.normal();
    return t;
}

// Has the last token's first head the plain loop's bits? Without them there is no speed.
bool same_bits(const Tensor& q, const Tensor& k, const Tensor& v, Tensor& out) {
    const Index last = q.dim(0) - 1;
    std::vector<float> expected(usize(q.dim(2)));
    attention_plain(q.view()[last][0], k.view().transposed(0, 1)[0],
                    v.view().transposed(0, 1)[0], View<float>(expected.data(), {q.dim(2)}));
    return compare_bits(expected, out.view()[last][0].flat()).differ == 0;
}

// T new tokens behind `past`.
void attention(benchmark::State& state, const Heads& heads, Index past, Index T) {
    const Index S = past + T;
    const Tensor q = random_tensor({T, heads.query, heads.dim}, 1);
    const Tensor k = random_tensor({S, heads.kv, heads.dim}, 2);
    const Tensor v = random_tensor({S, heads.kv, heads.dim}, 3);
    KvTiles tiles(S, heads.kv, heads.dim);
    tiles.write(0, k.view(), v.view());
    Tensor out({T, heads.query, heads.dim});
    ThreadPool pool(1);
    const auto run = [&] {
        attend_tiles(default_simd_level(), pool, q.view(), tiles, past, out.view());
    };
    run();
    if (!same_bits(q, k, v, out)) return state.SkipWithError("not the plain bits");
    for (auto _ : state) run();
    // Scores and values: two fma per head, component and visible slot.
    const Index visible = T * past + T * (T + 1) / 2;
    const double flops = 4.0 * static_cast<double>(heads.query * heads.dim * visible);
    const double bytes = 2.0 * static_cast<double>(S * heads.kv * heads.dim) * sizeof(float);
    const auto times = static_cast<double>(state.iterations());
    using benchmark::Counter;
    state.counters["FLOP/s"] = Counter(flops * times, Counter::kIsRate);
    state.counters["cache_B/s"] = Counter(bytes * times, Counter::kIsRate);
    state.counters["tokens/s"] = Counter(static_cast<double>(T) * times, Counter::kIsRate);
}

// Arguments: heads (index above), slots in the cache.
void decode(benchmark::State& state) {
    attention(state, kHeads[state.range(0)], state.range(1), 1);
}

// Arguments: heads, tokens.
void prefill(benchmark::State& state) {
    attention(state, kHeads[state.range(0)], 0, state.range(1));
}

BENCHMARK(decode)->ArgsProduct({{0, 1, 2}, {63, 511, 2047}})->Unit(benchmark::kMicrosecond);
BENCHMARK(prefill)->ArgsProduct({{0, 1, 2}, {64, 512}})->Unit(benchmark::kMicrosecond);

// The softmax of one full tile.
void softmax_tile(benchmark::State& state) {
    const Tensor scores = random_tensor({kTile}, 4);
    Tensor weights({kTile});
    const AttentionKernels& kernels = attention_kernels(default_simd_level());
    for (auto _ : state) {
        std::ranges::copy(scores.flat(), weights.data());
        benchmark::DoNotOptimize(kernels.softmax_tile(weights.data(), kTile));
        benchmark::ClobberMemory();
    }
    state.SetItemsProcessed(state.iterations() * kTile);
}

BENCHMARK(softmax_tile);

}  // namespace
