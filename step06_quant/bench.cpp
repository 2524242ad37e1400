// bench.cpp - chapter 6: the kernels by themselves, one thread: a token behind a cache of each
// format, a tile and a row of each, and products of bytes beside products of floats.
//
//   step06_quant_bench --benchmark_filter=expand --benchmark_repetitions=5
#include <benchmark/benchmark.h>

#include <algorithm>
#include <vector>

#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/decoder.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/quant/coded_rows.hpp>
#include <kvlab/quant/int8_matrix.hpp>
#include <kvlab/tensor/matmul.hpp>
#include <kvlab/tensor/random.hpp>

using namespace kvlab;

namespace {

constexpr Index kHeadDim = 64, kKvHeads = 3;  // SmolLM2's

ThreadPool& one_thread() {
    static ThreadPool pool(1);
    return pool;
}

std::vector<float> normals(Index n) {
    std::vector<float> values(usize(n));
    Rng rng(42);
    for (float& x : values) x = rng.normal();
    return values;
}

// SmolLM2's layers, four of them and with few words, so that it is the cache that counts.
Config few_layers() {
    Config config;
    config.dim = 576;
    config.layers = 4;
    config.heads = 9;
    config.kv_heads = kKvHeads;
    config.head_dim = config.rope_dim = kHeadDim;
    config.ffn = 1536;
    config.context = 1 << 13;
    return config;
}

struct Machine {
    std::unique_ptr<Engine> engine = make_cpu_engine({1, default_simd_level()});
    Decoder decoder{load_model(*make_synthetic(few_layers(), 42), *engine), *engine};
};

Machine& machine() {
    static Machine one;
    return one;
}

// `held` tokens with random rows, every layer's the same.
void hold(KvStore& cache, Index held) {
    const KvShape& shape = cache.shape();
    const std::vector<float> numbers = normals(held * shape.kv_heads * shape.head_dim);
    const View<const float> rows(numbers.data(), {held, shape.kv_heads, shape.head_dim});
    cache.begin(held);
    for (Index layer = 0; layer < shape.layers; ++layer) cache.append(layer, rows, rows);
    cache.commit();
}

// A token behind `held` others and up to 32 of its own kind: what KIVI coded cannot be taken
// back, so that a copy of what was held goes on.
void decode(benchmark::State& state, Format code, Index held) {
    Decoder& decoder = machine().decoder;
    KvCache prompt(decoder.kv_shape(), held + 32, coded_rows({code, code}));
    hold(prompt, held);
    std::unique_ptr<KvStore> cache = prompt.fork();
    const std::vector<Token> next = {37};
    for (auto _ : state) {
        if (cache->room() == 0) {
            state.PauseTiming();
            cache = prompt.fork();
            state.ResumeTiming();
        }
        decoder.forward(*cache, next);
    }
    state.SetItemsProcessed(state.iterations());
    state.counters["cache_bytes"] = static_cast<double>(prompt.bytes().logical);
}

// One layer's tiles of one side, each slot written.
CodedTiles filled(Format code, CodedTiles::Side side, Index tiles) {
    CodedTiles coded(code, side, tiles * 64, 1, kHeadDim);
    const std::vector<float> rows = normals(kScaleBlock * kHeadDim);
    for (Index slot = 0; slot < coded.slots(); ++slot)
        if (!coded.grouped())
            coded.write(
                0, slot,
                std::span(rows).subspan(usize(slot % kScaleBlock * kHeadDim), kHeadDim));
        else if (slot % kScaleBlock == 0)
            coded.write_group(0, slot / kScaleBlock, rows);
    return coded;
}

// `tiles` in turn: one stays in the first-level cache, many come from memory.
void expand(benchmark::State& state, Format code, CodedTiles::Side side, Index tiles) {
    const CodedTiles coded = filled(code, side, tiles);
    Tensor scratch({64, kHeadDim});
    Index tile = 0;
    for (auto _ : state) {
        benchmark::DoNotOptimize(coded.read(0, tile, scratch.data()));
        benchmark::ClobberMemory();
        if (++tile == tiles) tile = 0;
    }
    state.SetItemsProcessed(state.iterations() * scratch.size());
    state.SetBytesProcessed(state.iterations() *
                            static_cast<Index>(coded.tile_bytes(0, 0).size()));
}

// A row of one head; of KIVI's keys, a group of 32.
void encode(benchmark::State& state, Format code, CodedTiles::Side side) {
    CodedTiles coded(code, side, 64, 1, kHeadDim);
    const Index rows = coded.grouped() ? kScaleBlock : 1;
    const std::vector<float> numbers = normals(rows * kHeadDim);
    for (auto _ : state) {
        if (coded.grouped())
            coded.write_group(0, 0, numbers);
        else
            coded.write(0, 0, numbers);
        benchmark::ClobberMemory();
    }
    state.SetItemsProcessed(state.iterations() * rows * kHeadDim);
}

void register_codes() {
    using Side = CodedTiles::Side;
    const auto add = [](const std::string& name, auto run, benchmark::TimeUnit unit) {
        benchmark::RegisterBenchmark(name.c_str(), run)->Unit(unit);
    };
    for (const Index held : {512, 2048, 4096})
        for (const Format code : coded_formats())
            add(
                concat("decode/", code->name, "/", held),
                [code, held](benchmark::State& state) { decode(state, code, held); },
                benchmark::kMicrosecond);
    for (const Side side : {Side::keys, Side::values})
        for (const Format code : coded_formats()) {
            const std::string name =
                concat(side == Side::keys ? "keys/" : "values/", code->name);
            for (const Index tiles : {1, 4096})
                add(
                    concat("expand_tile/", name, "/", tiles),
                    [=](benchmark::State& state) { expand(state, code, side, tiles); },
                    benchmark::kNanosecond);
            add(
                concat("encode_row/", name),
                [=](benchmark::State& state) { encode(state, code, side); },
                benchmark::kNanosecond);
        }
}

[[maybe_unused]] const bool registered = (register_codes(), true);

// y [T, N] of x [T, K], weights and rows random. Arguments: T, K, N.
struct Product {
    explicit Product(const benchmark::State& state)
        : x({state.range(0), state.range(1)}),
          w({state.range(2), state.range(1)}),
          y({state.range(0), state.range(2)}) {
        std::ranges::copy(normals(x.size()), x.data());
        std::ranges::copy(normals(w.size()), w.data());
    }

    void finish(benchmark::State& state) const {
        const Index flops = 2 * state.range(0) * state.range(1) * state.range(2);
        state.counters["FLOP/s"] = benchmark::Counter(
            static_cast<double>(flops * state.iterations()), benchmark::Counter::kIsRate);
    }

    Tensor x, w, y;
};

void product_of_floats(benchmark::State& state) {
    Product p(state);
    const PackedMatrix packed = PackedMatrix::pack(p.w.view());
    for (auto _ : state)
        matmul(tensor_kernels(default_simd_level()), one_thread(), p.x.view(), packed,
               p.y.view());
    p.finish(state);
}

// Rows become bytes each time, as in a forward pass.
void product_of_bytes(benchmark::State& state) {
    Product p(state);
    const TensorInfo info{"w", TensorType::f32, p.w.shape(), std::as_bytes(p.w.flat())};
    const TensorInfo* const parts[] = {&info};
    const Int8Matrix matrix(parts, one_thread());
    const Int8Level level = best_int8_level(default_simd_level());
    Int8Rows rows;
    for (auto _ : state) {
        rows.set(int8_kernels(level), p.x.view(), 0, one_thread());
        rows.multiply(int8_kernels(level), matrix, p.y.view(), one_thread());
    }
    p.finish(state);
    state.SetLabel(int8_level_name(level));
}

BENCHMARK(product_of_floats)
    ->ArgsProduct({{1, 16, 64, 512}, {576}, {1536}})
    ->Unit(benchmark::kMicrosecond);
BENCHMARK(product_of_bytes)
    ->ArgsProduct({{1, 16, 64, 512}, {576}, {1536}})
    ->Unit(benchmark::kMicrosecond);

}  // namespace
