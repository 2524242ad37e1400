// bench.cpp - chapter 4: what the executor costs: a launch, a barrier, an access, a guard; and
// every rung of every ladder, raw. Times of the executor say nothing about a GPU.
#include <benchmark/benchmark.h>

#include <memory>

#include <kvlab/cuda/device_memory.hpp>
#include <kvlab/cuda/ladders.hpp>
#include <kvlab/cuda/simt.hpp>

#include "app/transpose.cuh"

using namespace kvlab;

namespace {

// Argument: 1 if checked. 16384 threads with one barrier each, 65536 numbers.
void transpose_256(benchmark::State& state) {
    const bool checked = state.range(0) != 0;
    if (checked && !simt::has_checked_kernels())
        return state.SkipWithError("no checked kernels");
    const simt::Use use(
        {checked ? simt::Mode::checked : simt::Mode::raw, simt::Order::forward, 1, nullptr});
    const std::vector<float> values(65536, 1.0f);
    const DeviceArray<float> in(values), out(65536);
    for (auto _ : state)
        launch(transpose, dim3(8, 8), dim3(32, 8), 0, in.get(), out.get(), 256, 256);
    state.SetItemsProcessed(state.iterations() * 65536);
}

// Argument: MiB of device memory, all of it written to, under a guard; 0: none, and no guard. A
// launch of 256 threads.
void launch_under_guard(benchmark::State& state) {
    const auto bytes = usize(state.range(0)) << 20;
    std::unique_ptr<simt::GuardDeviceMemory> guard;
    if (bytes > 0) guard = std::make_unique<simt::GuardDeviceMemory>();
    {
        const std::vector<float> values(bytes > 0 ? bytes / sizeof(float) : 1024);
        const DeviceArray<float> in(values), out(1024);
        for (auto _ : state)
            launch(transpose, dim3(1, 1), dim3(32, 8), 0, in.get(), out.get(), 32, 32);
    }
}

std::vector<float> zeros(std::size_t count) {
    return std::vector<float>(count);
}

// A weight matrix as SmolLM2's projection of keys, [192, 576], and a row.
void linear(benchmark::State& state, const LinearRung& rung) {
    const DeviceMatrix w(PackedMatrix::pack(Tensor({192, 576}).view()), rung.layout);
    const DeviceArray<float> x(zeros(576)), y(192);
    const View<const float> in(x.get(), {1, 576});
    const View<float> out(y.get(), {1, 192});
    Scratch scratch;
    for (auto _ : state) rung.run({w, nullptr, in, out, scratch});
    state.SetItemsProcessed(state.iterations() * 192 * 576);
}

void norm(benchmark::State& state, const NormRung& rung) {
    const DeviceArray<float> x(zeros(576)), weight(zeros(576)), y(576);
    const View<const float> in(x.get(), {1, 576});
    const View<float> out(y.get(), {1, 576});
    for (auto _ : state) rung.run({in, weight.get(), 1e-5f, out});
    state.SetItemsProcessed(state.iterations() * 576);
}

// One token behind 255 others, SmolLM2's heads. Items are pairs of a query head and a slot.
void attention(benchmark::State& state, const AttentionRung& rung) {
    constexpr Index slots = 256, width = 9 * 64;
    const DeviceArray<float> q(zeros(width)), keys(zeros(3 * 64 * slots)),
        values(zeros(3 * 64 * slots)), y(width);
    const View<const float> in(q.get(), {1, 9, 64});
    const View<float> out(y.get(), {1, 9, 64});
    Scratch scratch;
    for (auto _ : state)
        rung.run({in, keys.get(), values.get(), 3, slots, slots - 1, out, scratch});
    state.SetItemsProcessed(state.iterations() * 9 * slots);
}

// The tables are gone through before main() begins.
template <class AnyRung>
bool register_rungs(const char* operation,
                    std::span<const AnyRung> rungs,
                    void (*run)(benchmark::State&, const AnyRung&)) {
    for (const AnyRung& rung : rungs)
        benchmark::RegisterBenchmark(
            (std::string(operation) + "/" + rung.name).c_str(),
            [&rung, run](benchmark::State& state) { run(state, rung); });
    return true;
}

const bool registered = register_rungs("linear", linear_rungs(), linear) &&
                        register_rungs("norm", norm_rungs(), norm) &&
                        register_rungs("attention", attention_rungs(), attention);

}  // namespace

BENCHMARK(transpose_256)->Arg(0)->Arg(1);
BENCHMARK(launch_under_guard)->Arg(0)->Arg(1)->Arg(16)->Arg(512);
