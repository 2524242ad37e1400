// bench.cpp - chapter 1: the kernels by themselves, one thread. GFLOP/s counts an fma as two;
// of_peak is the share of the fma peak, of_DRAM that of the bandwidth, measured
// by this program.
//
//   step01_tensor_bench --benchmark_filter=matmul --benchmark_repetitions=5
#include <benchmark/benchmark.h>

#include <algorithm>
#include <vector>

#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/matmul.hpp>
#include <kvlab/tensor/numerics.hpp>
#include <kvlab/tensor/random.hpp>
#include <kvlab/tensor/roofline.hpp>
#include <kvlab/tensor/sampling.hpp>
#include <kvlab/tensor/simd_level.hpp>

using namespace kvlab;

namespace {

constexpr TensorType kFormats[] = {TensorType::f32, TensorType::f16, TensorType::q8_0,
                                   TensorType::q4_1, TensorType::q4_k};

ThreadPool& one_thread() {
    static ThreadPool pool(1);
    return pool;
}

double peak() {
    static const double gflops = peak_gflops(default_simd_level(), one_thread(), 9);
    return gflops * 1e9;
}

double dram() {
    static const double gigabytes =
        read_bandwidth(default_simd_level(), one_thread(), memory_levels(1).back().bytes, 5);
    return gigabytes * 1e9;
}

std::vector<float> normals(Index n) {
    std::vector<float> values(usize(n));
    Rng rng(42);
    for (float& x : values) x = rng.normal();
    return values;
}

// Codes that mean something of the size of weights, in any format: small scales, varied codes.
std::vector<std::byte> weight_bytes(TensorType type, Index outputs, Index depth) {
    const auto floats = normals(outputs * depth);
    const auto plain = std::as_bytes(std::span(floats));
    std::vector<std::byte> bytes(plain.begin(), plain.end());
    bytes.resize(usize(outputs * bytes_for(type, depth)));
    if (type != TensorType::f32)  // any f16 with the exponent's highest bit clear is below 2
        for (std::size_t i = 1; i < bytes.size(); i += 2) bytes[i] &= std::byte{0xbf};
    return bytes;
}

// A product has no speed before it has the plain loop's bits.
bool same_bits(const PackedMatrix& w, const View<const float>& x, const View<const float>& y) {
    const Index n = std::min(w.outputs(), Index{8}), K = w.depth();
    Tensor rows({n, K}), expected({1, n});
    for (Index i = 0; i < n; ++i) w.read(i, rows.flat().subspan(usize(i * K), usize(K)));
    matmul_plain(x.slice(0, 0, 1), rows.view(), expected.view());
    return compare_bits(expected.flat(), {y.data(), usize(n)}).differ == 0;
}

// Arguments: format, T, K, N.
void matmul_packed(benchmark::State& state) {
    const TensorType type = kFormats[state.range(0)];
    const Index T = state.range(1), K = state.range(2), N = state.range(3);
    PackedMatrix w(N, K, type);
    w.set_outputs(0, weight_bytes(type, N, K));
    Tensor x({T, K}), y({T, N});
    std::ranges::copy(normals(T * K), x.data());
    const auto product = [&] {
        matmul(tensor_kernels(default_simd_level()), one_thread(), x.view(), w, y.view());
    };
    product();
    if (!same_bits(w, x.view(), y.view())) return state.SkipWithError("not the plain bits");
    for (auto _ : state) product();
    const double flops = 2.0 * static_cast<double>(T * K * N * state.iterations());
    const double bytes = static_cast<double>(w.bytes() * state.iterations());
    using benchmark::Counter;
    state.counters["FLOP/s"] = Counter(flops, Counter::kIsRate);
    state.counters["B/s"] = Counter(bytes, Counter::kIsRate);
    state.counters["of_peak"] = Counter(flops / peak(), Counter::kIsRate);
    state.counters["of_DRAM"] = Counter(bytes / dram(), Counter::kIsRate);
    state.SetLabel(type_name(type));
}

// Prefill, a small square, and decoding from a matrix too large for the caches.
BENCHMARK(matmul_packed)
    ->ArgsProduct({{0, 1, 2, 3}, {512}, {576}, {1536}})
    ->ArgsProduct({{0}, {64}, {64}, {64}})
    ->ArgsProduct({{0, 1, 2, 3}, {1, 16}, {576}, {49152}})
    ->ArgsProduct({{3, 4}, {512}, {1536}, {576}})  // Q4_K has blocks of 256 inputs
    ->ArgsProduct({{3, 4}, {1, 16}, {768}, {49152}})
    ->Unit(benchmark::kMicrosecond);

// One row of n numbers through an elementwise kernel or a norm.
template <class Kernel>
void row(benchmark::State& state, Kernel&& kernel) {
    const Index n = state.range(0);
    const auto x = normals(n), w = normals(n);
    std::vector<float> y(x.size());
    for (auto _ : state) {
        kernel(tensor_kernels(default_simd_level()), x.data(), w.data(), n, y.data());
        benchmark::ClobberMemory();
    }
    state.SetItemsProcessed(state.iterations() * n);
}

void rms_norm_row(benchmark::State& state) {
    row(state, [](const TensorKernels& k, const float* x, const float* w, Index n, float* y) {
        k.rms_norm(1, x, n, w, 1e-5f, n, y, n);
    });
}

void swiglu_row(benchmark::State& state) {
    row(state, [](const TensorKernels& k, const float* x, const float* w, Index n, float* y) {
        k.swiglu(x, w, n, y);
    });
}

void gelu_row(benchmark::State& state) {
    row(state, [](const TensorKernels& k, const float* x, const float*, Index n, float* y) {
        k.gelu(x, n, y);
    });
}

void exp2_row(benchmark::State& state) {
    row(state, [](const TensorKernels& k, const float* x, const float*, Index n, float* y) {
        k.exp2(x, n, y);
    });
}

BENCHMARK(rms_norm_row)->Arg(64)->Arg(576);
BENCHMARK(swiglu_row)->Arg(172)->Arg(1536);
BENCHMARK(gelu_row)->Arg(3072);
BENCHMARK(exp2_row)->Arg(64)->Arg(4096);

// Arguments: vocabulary, top-k (0: greedy).
void sampling(benchmark::State& state) {
    const auto logits = normals(state.range(0));
    SamplingOptions options;
    if (state.range(1) > 0) {
        options.temperature = 0.8f;
        options.top_k = state.range(1);
    }
    Sampler sampler(options);
    for (auto _ : state) benchmark::DoNotOptimize(sampler.sample(logits));
    state.SetItemsProcessed(state.iterations() * state.range(0));
}

BENCHMARK(sampling)->Args({256, 0})->Args({49152, 0})->Args({49152, 40});

}  // namespace
