// state_kernels.simd.cpp - chapter 8: one token of each recurrence, compiled once per SIMD
// level. The outer loops run over outputs, the inner ones over what is summed.
#include <kvlab/architectures/state_kernels.hpp>
#include <kvlab/tensor/simd.hpp>

namespace kvlab::KVLAB_SIMD {

inline constexpr Index kBlock = 64;  // terms of a chain (contract, rule 2)

KVLAB_INLINE Vec load_some(const float* p, Index count) {
    if (count == kLanes) return load(p);
    float rest[kLanes] = {};
    for (Index i = 0; i < count; ++i) rest[i] = p[i];
    return load(rest);
}

KVLAB_INLINE void store_some(float* p, Vec v, Index count) {
    if (count == kLanes) return store(p, v);
    float rest[kLanes];
    store(rest, v);
    for (Index i = 0; i < count; ++i) p[i] = rest[i];
}

// f(i, count) for n outputs: whole registers, and what is left.
template <class F>
KVLAB_INLINE void for_lanes(Index n, F f) {
    Index i = 0;
    for (; i + kLanes <= n; i += kLanes) f(i, kLanes);
    if (i < n) f(i, n - i);
}

KVLAB_INLINE Vec negative(Vec x) {
    return mul(x, fill(-1.0f));
}

KVLAB_INLINE Vec e_to_the(Vec x) {
    return exp2(mul(x, fill(0x1.715476p+0f)));
}

KVLAB_INLINE Vec gate(Vec x) {
    return add(fill(1.0f), exp2(mul(x, fill(-0x1.715476p+0f))));
}

// The polynomial of gates.hpp.
KVLAB_INLINE Vec log1p_unit(Vec u) {
    Vec p = fill(0x1.5f96fep-8f);
    p = fma(p, u, fill(-0x1.ec9942p-6f));
    p = fma(p, u, fill(0x1.446c0ep-4f));
    p = fma(p, u, fill(-0x1.19ad92p-3f));
    p = fma(p, u, fill(0x1.884456p-3f));
    p = fma(p, u, fill(-0x1.fd1322p-3f));
    p = fma(p, u, fill(0x1.5535dap-2f));
    p = fma(p, u, fill(-0x1.ffff14p-2f));
    return mul(u, fma(p, u, fill(1.0f)));
}

template <class F>
KVLAB_INLINE void each(const float* x, Index n, float* y, F f) {
    for_lanes(
        n, [&](Index i, Index count) { store_some(y + i, f(load_some(x + i, count)), count); });
}

static void exponential(const float* x, Index n, float* y) {
    each(x, n, y, [](Vec v) { return e_to_the(v); });
}

static void sigmoid(const float* x, Index n, float* y) {
    each(x, n, y, [](Vec v) { return div(fill(1.0f), gate(v)); });
}

static void silu(const float* x, Index n, float* y) {
    each(x, n, y, [](Vec v) { return div(v, gate(v)); });
}

static void softplus(const float* x, Index n, float* y) {
    each(x, n, y, [](Vec v) {
        const Vec u = e_to_the(smaller(v, negative(v)));  // e^-|x|
        return add(larger(v, fill(0.0f)), log1p_unit(u));
    });
}

// One of the two terms is 0 + e^x or x + e^0, which are exact.
static void feature(const float* x, Index n, float* y) {
    each(x, n, y,
         [](Vec v) { return add(larger(v, fill(0.0f)), e_to_the(smaller(v, fill(0.0f)))); });
}

static void add(const float* a, const float* b, Index n, float* y) {
    for_lanes(n, [&](Index i, Index count) {
        store_some(y + i, add(load_some(a + i, count), load_some(b + i, count)), count);
    });
}

static void multiply(const float* a, const float* b, Index n, float* y) {
    for_lanes(n, [&](Index i, Index count) {
        store_some(y + i, mul(load_some(a + i, count), load_some(b + i, count)), count);
    });
}

static void unit(float factor, Index n, float* x) {
    float total = 0.0f;
    for (Index begin = 0; begin < n; begin += kBlock) {
        float block = 0.0f;
        for (Index i = begin; i < n && i < begin + kBlock; ++i) block = fma1(x[i], x[i], block);
        total = begin == 0 ? block : total + block;
    }
    const Vec r = fill(1.0f / __builtin_sqrtf(total + 1e-6f));
    each(x, n, x, [&](Vec v) { return mul(mul(v, r), fill(factor)); });
}

static void convolve(
    const float* taps, const float* bias, const float* x, Index n, float* tail, float* y) {
    for_lanes(n, [&](Index i, Index count) {
        const Vec now = load_some(x + i, count);
        Vec acc = fill(0.0f);
        for (Index j = 0; j < 3; ++j) {
            const Vec before = load_some(tail + j * n + i, count);
            acc = fma(load_some(taps + j * n + i, count), before, acc);
            if (j > 0) store_some(tail + (j - 1) * n + i, before, count);
        }
        store_some(tail + 2 * n + i, now, count);
        acc = fma(load_some(taps + 3 * n + i, count), now, acc);
        if (bias != nullptr) acc = add(acc, load_some(bias + i, count));
        store_some(y + i, acc, count);
    });
}

static void fade(float factor, Index K, Index n, float* S) {
    each(S, K * n, S, [&](Vec v) { return mul(v, fill(factor)); });
}

static void add_outer(const float* k, const float* v, Index K, Index n, float* S) {
    for_lanes(n, [&](Index j, Index count) {
        const Vec value = load_some(v + j, count);
        for (Index i = 0; i < K; ++i) {
            float* at = S + i * n + j;
            store_some(at, fma(fill(k[i]), value, load_some(at, count)), count);
        }
    });
}

// Sums over K terms by rule 2: term(i, acc) goes on with a chain.
template <class Term>
KVLAB_INLINE Vec sum_of(Index K, Index block, Term term) {
    Vec total = fill(0.0f);
    for (Index begin = 0; begin < K; begin += block) {
        Vec acc = fill(0.0f);
        for (Index i = begin; i < K && i < begin + block; ++i) acc = term(i, acc);
        total = begin == 0 ? acc : add(total, acc);
    }
    return total;
}

static void ask(const float* q, const float* S, Index K, Index n, float* y) {
    for_lanes(n, [&](Index j, Index count) {
        const Vec sum = sum_of(K, kBlock, [&](Index i, Vec acc) {
            return fma(fill(q[i]), load_some(S + i * n + j, count), acc);
        });
        store_some(y + j, sum, count);
    });
}

static void turn(const float* a,
                 const float* c,
                 const float* skip,
                 const float* u,
                 Index N,
                 Index n,
                 float* s,
                 float* y) {
    for_lanes(n, [&](Index i, Index count) {
        const Vec now = load_some(u + i, count);
        const auto of = [&](const float* table, Index m, Index part) {
            return load_some(table + (2 * m + part) * n + i, count);
        };
        // Each state is two terms of the sum, so a block has half as many states.
        const Vec sum = sum_of(N, kBlock / 2, [&](Index m, Vec acc) {
            const Vec a_re = of(a, m, 0), a_im = of(a, m, 1), re = of(s, m, 0),
                      im = of(s, m, 1);
            const Vec new_re = fma(a_re, re, fma(negative(a_im), im, now));
            const Vec new_im = fma(a_re, im, mul(a_im, re));
            store_some(s + 2 * m * n + i, new_re, count);
            store_some(s + (2 * m + 1) * n + i, new_im, count);
            return fma(negative(of(c, m, 1)), new_im, fma(of(c, m, 0), new_re, acc));
        });
        const Vec twice = mul(fill(2.0f), sum);
        store_some(y + i, fma(load_some(skip + i, count), now, twice), count);
    });
}

static void select(const float* A,
                   const float* skip,
                   const float* dt,
                   const float* u,
                   const float* B,
                   const float* C,
                   Index N,
                   Index n,
                   float* s,
                   float* y) {
    for_lanes(n, [&](Index i, Index count) {
        const Vec step = load_some(dt + i, count), now = load_some(u + i, count);
        const Vec input = mul(step, now);
        const Vec sum = sum_of(N, kBlock, [&](Index m, Vec acc) {
            float* at = s + m * n + i;
            const Vec decay = e_to_the(mul(step, load_some(A + m * n + i, count)));
            const Vec state = fma(decay, load_some(at, count), mul(input, fill(B[m])));
            store_some(at, state, count);
            return fma(fill(C[m]), state, acc);
        });
        store_some(y + i, fma(load_some(skip + i, count), now, sum), count);
    });
}

static void mean(const float* decay,
                 const float* bonus,
                 const float* k,
                 const float* v,
                 Index n,
                 float* state,
                 float* y) {
    for_lanes(n, [&](Index i, Index count) {
        float *a_at = state + i, *b_at = state + n + i, *p_at = state + 2 * n + i;
        const Vec a = load_some(a_at, count), b = load_some(b_at, count);
        const Vec p = load_some(p_at, count);
        const Vec key = load_some(k + i, count), value = load_some(v + i, count);

        const Vec own = add(load_some(bonus + i, count), key), m = larger(p, own);
        Vec e = e_to_the(sub(p, m)), f = e_to_the(sub(own, m));
        store_some(y + i, div(fma(e, a, mul(f, value)), fma(e, b, f)), count);

        const Vec faded = sub(p, load_some(decay + i, count)), most = larger(faded, key);
        e = e_to_the(sub(faded, most));
        f = e_to_the(sub(key, most));
        store_some(a_at, fma(e, a, mul(f, value)), count);
        store_some(b_at, fma(e, b, f), count);
        store_some(p_at, most, count);
    });
}

extern const StateKernels kStateKernels;
const StateKernels kStateKernels = {exponential, sigmoid,  silu, softplus, feature,
                                    add,         multiply, unit, convolve, fade,
                                    add_outer,   ask,      turn, select,   mean};

}  // namespace kvlab::KVLAB_SIMD
