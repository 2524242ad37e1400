// gates.hpp - chapter 1: what gates and decays are made of (contract, rule 4). Attention
// needs none of it; a memory that has to forget does.
#pragma once

#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

// ANCHOR: gates
// e^x, by exp2: one rounded product first.
inline float exponential(float x) {
    return exp2(x * kLog2E);
}

// 1 / (1 + e^-x), between 0 and 1.
inline float sigmoid(float x) {
    return 1.0f / (1.0f + exp2(x * -kLog2E));
}

// Coefficients of P(u) in log(1 + u) = u P(u) for u in [0, 1], lowest power first;
// step01_tensor/fit_log1p.py fits them and measures the error over every float of [2^-30, 1]
// (relative, at most 2^-22.44).
inline constexpr float kLog1pCoefficients[9] = {
    1.0f,           -0x1.ffff14p-2f, 0x1.5535dap-2f, -0x1.fd1322p-3f,
    0x1.884456p-3f, -0x1.19ad92p-3f, 0x1.446c0ep-4f, -0x1.ec9942p-6f,
    0x1.5f96fep-8f};

// log(1 + u), 0 <= u <= 1.
inline float log1p_unit(float u) {
    float p = kLog1pCoefficients[8];
    for (int i = 7; i >= 0; --i) p = std::fma(p, u, kLog1pCoefficients[i]);
    return u * p;
}

// log(1 + e^x), a smooth max(x, 0).
inline float softplus(float x) {
    const float above = x > 0.0f ? x : 0.0f, distance = x > 0.0f ? x : -x;
    return above + log1p_unit(exponential(-distance));
}

// ANCHOR_END: gates

}  // namespace kvlab
