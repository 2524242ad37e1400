// bench.cpp - chapter 4: what the executor costs: a launch, a barrier, an access, a guard. How
// fast the kernels are on a GPU, `step04_cuda bench` measures.
#include <benchmark/benchmark.h>

#include <memory>

#include <kvlab/cuda/device_memory.hpp>
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

}  // namespace

BENCHMARK(transpose_256)->Arg(0)->Arg(1);
BENCHMARK(launch_under_guard)->Arg(0)->Arg(1)->Arg(16)->Arg(512);
