#include <kvlab/tensor/roofline.hpp>

#include <unistd.h>

#include <algorithm>

#include <kvlab/tensor/measure.hpp>

namespace kvlab {

// Each level's table is defined by peak.simd.cpp, compiled once per level.
namespace portable {
extern const PeakKernels kPeakKernels;
}

namespace avx2 {
extern const PeakKernels kPeakKernels;
}

namespace avx512 {
extern const PeakKernels kPeakKernels;
}

const PeakKernels& peak_kernels(SimdLevel level) {
    parse_simd_level(simd_level_name(level));  // throws unless supported here
#ifdef KVLAB_HAS_avx512
    if (level == SimdLevel::avx512) return avx512::kPeakKernels;
#endif
#ifdef KVLAB_HAS_avx2
    if (level == SimdLevel::avx2) return avx2::kPeakKernels;
#endif
    return portable::kPeakKernels;
}

namespace {

constexpr double kSampleSeconds = 2e-3;

// Keeps the compiler from dropping a result that nobody uses.
void keep(float value) {
    [[maybe_unused]] volatile float sink = value;
}

Clock clock_for(const ThreadPool& pool) {
    return pool.threads() == 1 ? Clock::thread_cpu : Clock::wall;
}

}  // namespace

double peak_gflops(SimdLevel level, ThreadPool& pool, Index samples) {
    const PeakKernels& kernels = peak_kernels(level);
    // Long enough that waking the threads does not show: portable fma may be a function call.
    const Index steps = level == SimdLevel::portable ? 50'000 : 1'000'000;
    const Quartiles seconds = time_calls(samples, kSampleSeconds, clock_for(pool), [&] {
        pool.run(pool.threads(),
                 [&](Index i) { keep(kernels.fma_chains(steps, static_cast<float>(i))); });
    });
    return static_cast<double>(steps * kernels.flops_per_step * pool.threads()) / seconds.best *
           1e-9;
}

double read_bandwidth(SimdLevel level, ThreadPool& pool, Index bytes, Index samples) {
    const PeakKernels& kernels = peak_kernels(level);
    const Index floats = std::max(bytes / 4 / 256, Index{1}) * 256;
    // Small buffers are read often enough per task that handing tasks out does not show.
    const Index repeat = std::max(Index{1} << 22, floats) / floats;
    std::vector<Tensor> buffers;
    for (Index i = 0; i < pool.threads(); ++i) buffers.emplace_back(Shape{floats});
    const Quartiles seconds = time_calls(samples, kSampleSeconds, clock_for(pool), [&] {
        pool.run(pool.threads(), [&](Index i) {
            keep(kernels.read(buffers[static_cast<std::size_t>(i)].data(), floats, repeat));
        });
    });
    return static_cast<double>(floats * 4 * repeat * pool.threads()) / seconds.best * 1e-9;
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
