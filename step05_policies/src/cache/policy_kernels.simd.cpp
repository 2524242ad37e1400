// policy_kernels.simd.cpp - chapter 5: tiles times factors. Compiled once per SIMD level.
#include <kvlab/attention/attention_kernels.hpp>
#include <kvlab/policies/policy_kernels.hpp>
#include <kvlab/tensor/simd.hpp>

namespace kvlab::KVLAB_SIMD {

// In the order of memory, which the processor then fetches ahead.
static void scale_slots(const float* keys, const float* factors, Index head_dim, float* out) {
    constexpr Index kVecs = kTile / kLanes;
    Vec factor[kVecs];
    for (Index n = 0; n < kVecs; ++n) factor[n] = load(factors + n * kLanes);
    for (Index i = 0; i < head_dim * kTile; i += kTile)
        for (Index n = 0; n < kVecs; ++n)
            store(out + i + n * kLanes, mul(load(keys + i + n * kLanes), factor[n]));
}

static void scale_rows(const float* values, const float* factors, Index width, float* out) {
    for (Index s = 0; s < kTile; ++s) {
        const Vec factor = fill(factors[s]);
        for (Index i = s * width; i < (s + 1) * width; i += kLanes)
            store(out + i, mul(load(values + i), factor));
    }
}

extern const PolicyKernels kPolicyKernels;
const PolicyKernels kPolicyKernels = {scale_slots, scale_rows};

}  // namespace kvlab::KVLAB_SIMD
