// numerics.hpp - chapter 1: the numeric contract as code. Every function here is the plain loop
// that DEFINES a result; the fast kernels elsewhere must give the same 32 bits.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <span>

#include <kvlab/tensor/tensor.hpp>

namespace kvlab {

// Rule 2: a sum over any index runs in blocks of this many terms.
inline constexpr Index kSumBlock = 64;

// ANCHOR: dot
// Sum of a[i] * b[i] by rule 2: inside a block one chain of fused multiply-adds that starts at
// +0; the blocks are then added in order, and the total IS the first block, never 0 + it.
inline float dot(const float* a, Index a_stride, const float* b, Index b_stride, Index n) {
    float total = 0.0f;
    for (Index begin = 0; begin < n; begin += kSumBlock) {
        const Index end = begin + kSumBlock < n ? begin + kSumBlock : n;
        float block = 0.0f;
        for (Index i = begin; i < end; ++i)
            block = std::fma(a[i * a_stride], b[i * b_stride], block);
        total = begin == 0 ? block : total + block;
    }
    return total;
}

// ANCHOR_END: dot

inline float dot(const float* a, const float* b, Index n) {
    return dot(a, 1, b, 1, n);
}

// Sum of x[i] by rule 2.
inline float sum(const float* x, Index n) {
    float total = 0.0f;
    for (Index begin = 0; begin < n; begin += kSumBlock) {
        const Index end = begin + kSumBlock < n ? begin + kSumBlock : n;
        float block = 0.0f;
        for (Index i = begin; i < end; ++i) block = block + x[i];
        total = begin == 0 ? block : total + block;
    }
    return total;
}

// 2^e for an integral e: 0 for e <= -127, infinity for e >= 128 (rule 3). No subnormal powers.
inline float pow2(float e) {
    const float low = e > -127.0f ? e : -127.0f;
    const float clamped = low < 128.0f ? low : 128.0f;
    return std::bit_cast<float>(
        static_cast<std::uint32_t>(static_cast<std::int32_t>(clamped) + 127) << 23);
}

// Rule 3: 2^s = p * 2^n with n the nearest integer to s (ties to even) and p in [0.707, 1.415].
struct Exp2Parts {
    float p;
    float n;
};

// Coefficients of p(f) = 2^f on [-0.5, 0.5], lowest power first; step01_tensor/fit_exp2.py fits
// them and measures the error over every float of the interval (relative, at most 2^-23.76).
inline constexpr float kExp2Coefficients[7] = {1.0f,           0x1.62e432p-1f, 0x1.ebfbe6p-3f,
                                               0x1.c6ae64p-5f, 0x1.3b2756p-7f, 0x1.5f7276p-10f,
                                               0x1.470b4ap-13f};

// ANCHOR: exp2
inline Exp2Parts exp2_parts(float s) {
    const float n = std::nearbyint(s);  // round to nearest, ties to even
    const float f = s - n;              // exact
    float p = kExp2Coefficients[6];
    for (int i = 5; i >= 0; --i) p = std::fma(p, f, kExp2Coefficients[i]);
    return {p, n};
}

// 2^t, with t clamped to [-127, 128].
inline float exp2(float t) {
    const float low = t > -127.0f ? t : -127.0f;
    const Exp2Parts parts = exp2_parts(low < 128.0f ? low : 128.0f);
    return parts.p * pow2(parts.n);
}

// ANCHOR_END: exp2

inline constexpr float kLog2E = 0x1.715476p+0f;

// The factor that turns logits into base-2 scores: log2(e) / divisor, in double, rounded once.
inline float log2e_over(double divisor) {
    return static_cast<float>(0x1.71547652b82fep+0 / divisor);
}

// x * sigmoid(x) = x / (1 + 2^(-x log2 e)).
inline float silu(float x) {
    return x / (1.0f + exp2(x * -kLog2E));
}

// GELU in its tanh form: x * sigmoid(2u), u = 0.7978845608 x (1 + 0.044715 x^2)
// (Hendrycks and Gimpel 2016); tanh itself never appears.
inline float gelu(float x) {
    const float u = x * std::fma(0.044715f * x, x, 1.0f) * 0.7978845608f;
    return x / (1.0f + exp2(u * (-2.0f * kLog2E)));
}

// Softmax of base-2 scores with an integer maximum (rule 3): weights[i] = p_i * 2^(n_i - M),
// where M is the largest n. Returns the sum of the weights by rule 2; the caller divides, once
// per output.
float softmax_weights(std::span<const float> scores, std::span<float> weights);

// y = (x * r) * weight with r = 1 / sqrt(mean(x^2) + eps). All of length n; y may be x.
void rms_norm(const float* x, const float* weight, float eps, Index n, float* y);

// y = fma((x - mean) * r, weight, bias) with r = 1 / sqrt(mean((x - mean)^2) + eps); y
// may be x.
void layer_norm(
    const float* x, const float* weight, const float* bias, float eps, Index n, float* y);

// y[T, N] = x[T, K] * w[N, K] transposed: the plain loop, one dot() per output.
void matmul_plain(const View<const float>& x, const View<const float>& w, const View<float>& y);

// Rule 7: the lowest index among the largest values. Throws Error for an empty span.
Index argmax(std::span<const float> values);

// NaN and infinity are outside of the contract. Judged by the exponent's bits, which no
// compiler option can optimise away.
inline bool is_finite(float value) {
    return (std::bit_cast<std::uint32_t>(value) & 0x7f800000u) != 0x7f800000u;
}

bool all_finite(std::span<const float> values);

}  // namespace kvlab
