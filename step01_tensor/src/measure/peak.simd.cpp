// peak.simd.cpp - chapter 1: the fastest that the multipliers and the memory can go. Compiled
// once per SIMD level.
#include <kvlab/tensor/peak_kernels.hpp>
#include <kvlab/tensor/simd.hpp>

namespace kvlab::KVLAB_SIMD {

// An fma takes about 4 cycles and up to two start per cycle, so 8 chains keep the multipliers
// busy; 12 leave room and still fit the 16 registers of AVX2.
inline constexpr int kChains = 12;

static float total_of(const Vec* acc, int count) {
    float lanes[kLanes], total = 0.0f;
    for (int c = 0; c < count; ++c) {
        store(lanes, acc[c]);
        for (Index i = 0; i < kLanes; ++i) total += lanes[i];
    }
    return total;
}

static float fma_chains(Index steps, float start) {
    Vec acc[kChains];
    for (int c = 0; c < kChains; ++c) acc[c] = fill(start + static_cast<float>(c));
    const Vec half = fill(0.5f);
    for (Index step = 0; step < steps;
         ++step)  // every chain tends to 1: no overflow, no subnormals
        for (int c = 0; c < kChains; ++c) acc[c] = fma(acc[c], half, half);
    return total_of(acc, kChains);
}

static float read(const float* x, Index n, Index times) {
    constexpr int kStreams = 8;
    Vec acc[kStreams];
    for (int s = 0; s < kStreams; ++s) acc[s] = fill(0.0f);
    for (Index time = 0; time < times; ++time)
        for (Index i = 0; i < n; i += 256)
            for (Index j = 0; j < 256; j += kStreams * kLanes)
                for (int s = 0; s < kStreams; ++s)
                    acc[s] = add(acc[s], load(x + i + j + s * kLanes));
    return total_of(acc, kStreams);
}

extern const PeakKernels kPeakKernels;
const PeakKernels kPeakKernels = {fma_chains, kChains* kLanes * 2, read};

}  // namespace kvlab::KVLAB_SIMD
