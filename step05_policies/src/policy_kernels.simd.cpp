// policy_kernels.simd.cpp - chapter 5: rotating a tile of keys. Compiled once per SIMD level.
#include <kvlab/policies/policy_kernels.hpp>
#include <kvlab/tensor/simd.hpp>

namespace kvlab::KVLAB_SIMD {

static void rotate_tile(const float* keys,
                        const float* cos,
                        const float* sin,
                        Index rope_dim,
                        Index head_dim,
                        float* out) {
    constexpr Index kSlots = 64;
    const Vec minus_zero = fill(-0.0f);  // -0 - x is -x for every x, 0 - x is not
    for (Index i = 0; i < rope_dim / 2; ++i)
        for (Index s = 0; s < kSlots; s += kLanes) {
            const Vec x0 = load(keys + 2 * i * kSlots + s);
            const Vec x1 = load(keys + (2 * i + 1) * kSlots + s);
            const Vec c = load(cos + i * kSlots + s), d = load(sin + i * kSlots + s);
            store(out + 2 * i * kSlots + s, fma(x0, c, sub(minus_zero, mul(x1, d))));
            store(out + (2 * i + 1) * kSlots + s, fma(x1, c, mul(x0, d)));
        }
    for (Index s = rope_dim * kSlots; s < head_dim * kSlots; s += kLanes)
        store(out + s, load(keys + s));
}

extern const PolicyKernels kPolicyKernels;
const PolicyKernels kPolicyKernels = {rotate_tile};

}  // namespace kvlab::KVLAB_SIMD
