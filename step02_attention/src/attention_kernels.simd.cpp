// attention_kernels.simd.cpp - chapter 2: softmax of one tile. Compiled once per SIMD level.
#include <kvlab/attention/attention_kernels.hpp>
#include <kvlab/tensor/simd.hpp>

namespace kvlab::KVLAB_SIMD {

// The sum of weights in slot order: one chain, as the contract says.
static float ordered_sum(const float* weights, Index visible) {
    float total = 0.0f;
    for (Index j = 0; j < visible; ++j) total += weights[j];
    return total;
}

static float softmax_tile(float* scores, Index visible, float* maximum, float* rescale) {
    constexpr int kVecs = static_cast<int>(kTile / kLanes);
    float lanes[kTile];
    float p[kTile];
    for (int v = 0; v < kVecs; ++v) {
        const Vec s = load(scores + v * kLanes), n = round_even(s);
        store(lanes + v * kLanes, n);
        store(p + v * kLanes, exp2_polynomial(sub(s, n)));
    }
    // The largest n; the order of comparisons does not matter, since these are integers.
    float M = *maximum;
    if (visible == kTile) {
        Vec largest = load(lanes);
        for (int v = 1; v < kVecs; ++v) largest = larger(load(lanes + v * kLanes), largest);
        float candidates[kLanes];
        store(candidates, largest);
        for (Index i = 0; i < kLanes; ++i) M = candidates[i] > M ? candidates[i] : M;
    } else {
        for (Index j = 0; j < visible; ++j) M = lanes[j] > M ? lanes[j] : M;
    }
    for (int v = 0; v < kVecs; ++v) {
        const Vec e =
            smaller(larger(sub(load(lanes + v * kLanes), fill(M)), fill(-127.0f)), fill(0.0f));
        store(scores + v * kLanes, mul(load(p + v * kLanes), pow2_in_range(e)));
    }
    const float drop = *maximum - M;  // -infinity for the first tile
    const float clamped = drop > -127.0f ? drop : -127.0f;
    const std::uint32_t bits =
        static_cast<std::uint32_t>(static_cast<std::int32_t>(clamped) + 127) << 23;
    *rescale = __builtin_bit_cast(float, bits);
    *maximum = M;
    return ordered_sum(scores, visible);
}

static void scale(float factor, Index n, float* y) {
    for (Index i = 0; i < n; i += kLanes) store(y + i, mul(load(y + i), fill(factor)));
}

static void rotate(float* head,
                   const float* cos,
                   const float* sin,
                   Index rope_dim,
                   Index head_dim,
                   float factor) {
    for (Index i = 0; i < rope_dim / 2; ++i) {
        const float x0 = head[2 * i], x1 = head[2 * i + 1];
        head[2 * i] = fma1(x0, cos[i], -(x1 * sin[i])) * factor;
        head[2 * i + 1] = fma1(x1, cos[i], x0 * sin[i]) * factor;
    }
    for (Index i = rope_dim; i < head_dim; ++i) head[i] = head[i] * factor;
}

extern const AttentionKernels kAttentionKernels;
const AttentionKernels kAttentionKernels = {softmax_tile, scale, rotate};

}  // namespace kvlab::KVLAB_SIMD
