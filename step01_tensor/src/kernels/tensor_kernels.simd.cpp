// tensor_kernels.simd.cpp - chapter 1: the fast kernels. Compiled once per SIMD level.
//
// The order of every sum is that of numerics.hpp; what is fast here is only which outputs are
// computed side by side.
#include <kvlab/tensor/simd.hpp>
#include <kvlab/tensor/tensor_kernels.hpp>

namespace kvlab::KVLAB_SIMD {

inline constexpr int kPanelVecs = static_cast<int>(kPanel / kLanes);
inline constexpr int kHalf =
    4;  // registers of one stream: a whole panel with AVX-512, else a part

// How far ahead of what is being used the hardware should be reading, in floats: 8 KB.
inline constexpr Index kAhead = 2048;

template <Source From>
KVLAB_INLINE void ask_ahead(const float* b) {
    if (From == Source::memory)
        for (int line = 0; line < kHalf * kLanes; line += 16)
            __builtin_prefetch(b + kAhead + line);
}

// Two independent chains side by side: a chain waits 4 cycles for each fma, so one alone would
// leave the multipliers idle.
template <Source From>
KVLAB_INLINE void two_streams(Index depth,
                              const float* xa,
                              const float* a,
                              const float* xb,
                              const float* b,
                              Vec* acc_a,
                              Vec* acc_b) {
    for (int v = 0; v < kHalf; ++v) acc_a[v] = acc_b[v] = fill(0.0f);
    for (Index k = 0; k < depth; ++k) {
        const Vec va = fill(xa[k]), vb = fill(xb[k]);
        for (int v = 0; v < kHalf; ++v) {
            acc_a[v] = fma(va, load(a + k * kPanel + v * kLanes), acc_a[v]);
            acc_b[v] = fma(vb, load(b + k * kPanel + v * kLanes), acc_b[v]);
        }
        ask_ahead<From>(a + k * kPanel);
        ask_ahead<From>(b + k * kPanel);
    }
}

template <Source From>
KVLAB_INLINE void one_stream(Index depth, const float* x, const float* b, Vec* acc) {
    for (int v = 0; v < kHalf; ++v) acc[v] = fill(0.0f);
    for (Index k = 0; k < depth; ++k) {
        const Vec xk = fill(x[k]);
        for (int v = 0; v < kHalf; ++v)
            acc[v] = fma(xk, load(b + k * kPanel + v * kLanes), acc[v]);
        ask_ahead<From>(b + k * kPanel);
    }
}

inline constexpr Index kBlock = kPanel;  // terms of a chain: as many as a panel has columns

// One panel (or half of one, where registers are few): blocks two at a time, added in order.
template <Source From>
static void one_panel(Index depth, const float* x, const float* b, float* y) {
    Vec total[kHalf] = {}, even[kHalf], odd[kHalf];
    for (Index k = 0; k < depth; k += 2 * kBlock) {
        const Index left = depth - k;
        if (left >= 2 * kBlock) {
            two_streams<From>(kBlock, x + k, b + k * kPanel, x + k + kBlock,
                              b + (k + kBlock) * kPanel, even, odd);
        } else {
            one_stream<From>(left < kBlock ? left : kBlock, x + k, b + k * kPanel, even);
            if (left > kBlock)
                one_stream<From>(left - kBlock, x + k + kBlock, b + (k + kBlock) * kPanel, odd);
        }
        for (int v = 0; v < kHalf; ++v) {
            total[v] = k == 0 ? even[v] : add(total[v], even[v]);
            if (left > kBlock) total[v] = add(total[v], odd[v]);
        }
    }
    for (int v = 0; v < kHalf; ++v) store(y + v * kLanes, total[v]);
}

template <Source From>
static void panels(Index count, Index depth, const float* x, const float* b, float* y) {
    Index p = 0;
    if (depth <=
        kBlock) {  // a single block: take two panels side by side instead of two blocks
        for (; p + 2 <= count; p += 2)
            for (int part = 0; part < kPanelVecs; part += kHalf) {
                Vec first[kHalf], second[kHalf];
                const float* a = b + p * depth * kPanel + part * kLanes;
                two_streams<From>(depth, x, a, x, a + depth * kPanel, first, second);
                for (int v = 0; v < kHalf; ++v) {
                    store(y + p * kPanel + (part + v) * kLanes, first[v]);
                    store(y + (p + 1) * kPanel + (part + v) * kLanes, second[v]);
                }
            }
    }
    for (; p < count; ++p)
        for (int part = 0; part < kPanelVecs; part += kHalf)
            one_panel<From>(depth, x, b + p * depth * kPanel + part * kLanes,
                            y + p * kPanel + part * kLanes);
}

static void multiply(
    Index count, Index depth, const float* x, const std::byte* bytes, float* y, Source source) {
    const float* b = reinterpret_cast<const float*>(bytes);
    if (source == Source::memory)
        panels<Source::memory>(count, depth, x, b, y);
    else
        panels<Source::cache>(count, depth, x, b, y);
}

// The sum of squares by rule 2. The blocks are independent until they are added, so eight of
// them run side by side as scalars.
static float sum_of_squares(const float* x, Index n) {
    float total = 0.0f;
    for (Index begin = 0; begin < n; begin += 8 * kBlock) {
        float acc[8] = {};
        const Index whole = (n - begin) / kBlock < 8 ? (n - begin) / kBlock : 8;
        if (whole == 8) {
            for (Index i = 0; i < kBlock; ++i)
                for (int j = 0; j < 8; ++j) {
                    const float value = x[begin + j * kBlock + i];
                    acc[j] = fma1(value, value, acc[j]);
                }
        } else {
            for (Index i = 0; i < kBlock; ++i)
                for (Index j = 0; j < whole; ++j) {
                    const float value = x[begin + j * kBlock + i];
                    acc[j] = fma1(value, value, acc[j]);
                }
            for (Index i = begin + whole * kBlock; i < n; ++i)
                acc[whole] = fma1(x[i], x[i], acc[whole]);
        }
        const Index blocks =
            (n - begin + kBlock - 1) / kBlock < 8 ? (n - begin + kBlock - 1) / kBlock : 8;
        for (Index j = 0; j < blocks; ++j) total = begin + j == 0 ? acc[0] : total + acc[j];
    }
    return total;
}

// Applies f(i, lanes...) to whole registers, and to a padded copy of what is left.
template <class F>
KVLAB_INLINE void elementwise(const float* a, const float* b, Index n, float* y, F f) {
    Index i = 0;
    for (; i + kLanes <= n; i += kLanes) store(y + i, f(load(a + i), load(b + i)));
    if (i == n) return;
    float rest_a[kLanes] = {}, rest_b[kLanes] = {}, rest_y[kLanes];
    for (Index j = 0; i + j < n; ++j) rest_a[j] = a[i + j], rest_b[j] = b[i + j];
    store(rest_y, f(load(rest_a), load(rest_b)));
    for (Index j = 0; i + j < n; ++j) y[i + j] = rest_y[j];
}

// The same for eight rows, `stride` apart: their chains run side by side.
static void sums_of_squares(const float* x, Index stride, Index n, float* totals) {
    for (Index begin = 0; begin < n; begin += kBlock) {
        float acc[8] = {};
        for (Index i = begin; i < (begin + kBlock < n ? begin + kBlock : n); ++i)
            for (Index r = 0; r < 8; ++r)
                acc[r] = fma1(x[r * stride + i], x[r * stride + i], acc[r]);
        for (Index r = 0; r < 8; ++r) totals[r] = begin == 0 ? acc[r] : totals[r] + acc[r];
    }
}

static void rms_norm(Index rows,
                     const float* x,
                     Index x_stride,
                     const float* weight,
                     float eps,
                     Index n,
                     float* y,
                     Index y_stride) {
    float sums[8] = {};
    for (Index row = 0; row < rows; ++row, x += x_stride, y += y_stride) {
        if (row % 8 == 0 && rows - row >= 8) sums_of_squares(x, x_stride, n, sums);
        const float sum = rows - row / 8 * 8 >= 8 ? sums[row % 8] : sum_of_squares(x, n);
        const Vec r = fill(1.0f / __builtin_sqrtf(sum / static_cast<float>(n) + eps));
        elementwise(x, weight, n, y, [&](Vec value, Vec w) { return mul(mul(value, r), w); });
    }
}

static void swiglu(const float* gate, const float* up, Index n, float* y) {
    elementwise(gate, up, n, y, [](Vec g, Vec u) {
        const Vec sigmoid_inverse = add(fill(1.0f), exp2(mul(g, fill(-0x1.715476p+0f))));
        return mul(div(g, sigmoid_inverse), u);
    });
}

static void gelu(const float* x, Index n, float* y) {
    elementwise(x, x, n, y, [](Vec v, Vec) {
        const Vec cubic = fma(mul(fill(0.044715f), v), v, fill(1.0f));
        const Vec u = mul(mul(v, cubic), fill(0.7978845608f));
        return div(v, add(fill(1.0f), exp2(mul(u, fill(-2.0f * 0x1.715476p+0f)))));
    });
}

static void exp2_all(const float* x, Index n, float* y) {
    elementwise(x, x, n, y, [](Vec v, Vec) { return exp2(v); });
}

static void add_to(const float* x, Index n, float* y) {
    elementwise(y, x, n, y, [](Vec a, Vec b) { return add(a, b); });
}

static const PanelKernels kF32 = {multiply, nullptr};
extern const PanelKernels kF16, kBf16, kQ8_0, kQ4_0, kQ4_1, kQ4_K;  // panel_kernels.simd.cpp
Block block;                                                        // block_kernels.simd.cpp
BlockAhead block_ahead;

extern const TensorKernels kTensorKernels;
const TensorKernels kTensorKernels = {block,  block_ahead, &kF32,    &kF16,  &kBf16,
                                      &kQ8_0, &kQ4_0,      &kQ4_1,   &kQ4_K, rms_norm,
                                      swiglu, gelu,        exp2_all, add_to};

}  // namespace kvlab::KVLAB_SIMD
