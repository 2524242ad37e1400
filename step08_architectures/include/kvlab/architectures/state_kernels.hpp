// state_kernels.hpp - chapter 8: what recurrences are made of, per SIMD level.
//
// Each is a loop over outputs that do not depend on one another, so lanes are outputs, and the
// bits are those of the formulas here (contract, rules 2 and 4), at any level. Outputs may lie
// where inputs lie.
#pragma once

#include <cstddef>

namespace kvlab {

using Index = std::ptrdiff_t;
enum class SimdLevel;

struct StateKernels {
    // y[i] = f(x[i]) for n numbers, with the functions of gates.hpp; feature is x + 1 above 0,
    // e^x below.
    void (*exponential)(const float* x, Index n, float* y);
    void (*sigmoid)(const float* x, Index n, float* y);
    void (*silu)(const float* x, Index n, float* y);
    void (*softplus)(const float* x, Index n, float* y);
    void (*feature)(const float* x, Index n, float* y);

    // y[i] = a[i] + b[i], and a[i] * b[i].
    void (*add)(const float* a, const float* b, Index n, float* y);
    void (*multiply)(const float* a, const float* b, Index n, float* y);

    // x = (x * r) * factor with r = 1 / sqrt(x . x + 1e-6): a vector of length `factor`.
    void (*unit)(float factor, Index n, float* x);

    // One token of a convolution with taps [4, n], the oldest first: y[i] = fma(taps[3][i],
    // x[i], fma(taps[2][i], tail[2][i], ...)), plus bias[i] unless null. tail [3, n] are the
    // tokens before, which then move up by one.
    void (*convolve)(
        const float* taps, const float* bias, const float* x, Index n, float* tail, float* y);

    // A matrix as state: S [K, n].
    // S[i][j] = S[i][j] * factor
    void (*fade)(float factor, Index K, Index n, float* S);
    // S[i][j] = fma(k[i], v[j], S[i][j])
    void (*add_outer)(const float* k, const float* v, Index K, Index n, float* S);
    // y[j] = sum over i of q[i] * S[i][j]
    void (*ask)(const float* q, const float* S, Index K, Index n, float* y);

    // One token of N complex states of n channels; a, c and s are [N, 2, n], real parts first.
    //   s = a s + u;   y = fma(skip, u, 2 * sum over states of (c_re s_re - c_im s_im))
    void (*turn)(const float* a,
                 const float* c,
                 const float* skip,
                 const float* u,
                 Index N,
                 Index n,
                 float* s,
                 float* y);

    // One token of N states s [N, n] that fade as the token says; A is [N, n].
    //   s[m] = fma(exponential(dt * A[m]), s[m], (dt * u) * B[m])
    //   y    = fma(skip, u, sum over m of C[m] * s[m])
    void (*select)(const float* A,
                   const float* skip,
                   const float* dt,
                   const float* u,
                   const float* B,
                   const float* C,
                   Index N,
                   Index n,
                   float* s,
                   float* y);

    // One token of a fading weighted mean of n channels, whose state [3, n] is a, b, p: sums of
    // weights times v and of weights, both times e^-p.
    //   m = max(p, bonus + k);   e = exponential(p - m);   f = exponential(bonus + k - m)
    //   y = fma(e, a, f * v) / fma(e, b, f)
    //   w = p - decay;   p = max(w, k);   e = exponential(w - p);   f = exponential(k - p)
    //   a = fma(e, a, f * v);   b = fma(e, b, f)
    void (*mean)(const float* decay,
                 const float* bonus,
                 const float* k,
                 const float* v,
                 Index n,
                 float* state,
                 float* y);
};

// The table of a level. Throws Error when the level is not built in or not supported here.
const StateKernels& state_kernels(SimdLevel level);

}  // namespace kvlab
