#include <kvlab/tensor/roofline.hpp>

#include <unistd.h>

#include <algorithm>
#include <latch>
#include <numeric>

#include <kvlab/tensor/kernel_levels.hpp>
#include <kvlab/tensor/measure.hpp>

namespace kvlab {

KVLAB_KERNELS_OF_LEVEL(PeakKernels, peak_kernels, kPeakKernels)

namespace {

// Keeps the compiler from dropping a result that nobody uses.
void keep(float value) {
    [[maybe_unused]] volatile float sink = value;
}

// The largest sum, over `samples` runs, of the rates at which the threads of the pool work side
// by side. work(thread, times) does `times` units. Each thread is timed by its own processor
// time: what other programs take of the machine makes a thread wait, but does not
// count against it.
template <class Work>
double best_rate(ThreadPool& pool, Index samples, Work&& work) {
    constexpr double kSampleSeconds = 2e-3;
    const auto seconds = [&](Index thread, Index times) {
        const double start = thread_cpu_seconds();
        work(thread, times);
        return thread_cpu_seconds() - start;
    };
    Index times = 1;
    while (times < (Index{1} << 40) && seconds(0, times) < kSampleSeconds) times *= 2;
    double best = 0;
    std::vector<double> rates(usize(pool.threads()));
    for (Index sample = 0; sample < samples; ++sample) {
        // Every thread waits for the others: else a quick one would do a late one's task as
        // well, and the two would not share the memory that is being measured.
        std::latch start(pool.threads());
        pool.run(pool.threads(), [&](Index thread) {
            start.arrive_and_wait();
            at(rates, thread) = static_cast<double>(times) / seconds(thread, times);
        });
        best = std::max(best, std::accumulate(rates.begin(), rates.end(), 0.0));
    }
    return best;
}

}  // namespace

double peak_gflops(SimdLevel level, ThreadPool& pool, Index samples) {
    const PeakKernels& kernels = peak_kernels(level);
    constexpr Index kSteps = 1000;
    const double rate = best_rate(pool, samples, [&](Index thread, Index times) {
        keep(kernels.fma_chains(times * kSteps, static_cast<float>(thread)));
    });
    return rate * static_cast<double>(kSteps * kernels.flops_per_step) * 1e-9;
}

double read_bandwidth(SimdLevel level, ThreadPool& pool, Index bytes, Index samples) {
    const PeakKernels& kernels = peak_kernels(level);
    const Index floats = std::max(bytes / 4 / 256, Index{1}) * 256;
    std::vector<Tensor> buffers;
    for (Index i = 0; i < pool.threads(); ++i) buffers.emplace_back(Shape{floats});
    const double rate = best_rate(pool, samples, [&](Index thread, Index times) {
        keep(kernels.read(at(buffers, thread).data(), floats, times));
    });
    return rate * static_cast<double>(floats * 4) * 1e-9;
}

std::vector<MemoryLevel> memory_levels(Index threads) {
    const auto cache = [](int name, Index fallback) {
        const long bytes = sysconf(name);
        return bytes > 0 ? static_cast<Index>(bytes) : fallback;
    };
#ifdef _SC_LEVEL1_DCACHE_SIZE
    const Index l1 = cache(_SC_LEVEL1_DCACHE_SIZE, 32 << 10);
    const Index l2 = cache(_SC_LEVEL2_CACHE_SIZE, 512 << 10);
    const Index l3 = cache(_SC_LEVEL3_CACHE_SIZE, 8 << 20);
#else
    const Index l1 = cache(-1, 32 << 10), l2 = cache(-1, 512 << 10), l3 = cache(-1, 8 << 20);
#endif
    const Index dram = std::clamp(4 * l3, Index{64} << 20, Index{512} << 20);
    return {{"L1", l1 / 2}, {"L2", l2 / 2}, {"L3", l3 / 2 / threads}, {"DRAM", dram / threads}};
}

}  // namespace kvlab
