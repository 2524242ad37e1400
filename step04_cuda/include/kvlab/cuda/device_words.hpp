// device_words.hpp - chapter 4: CUDA's functions of numbers and bits on a CPU, with a GPU's
// results to the last bit.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include <kvlab/cuda/device_calls.hpp>
#include <kvlab/cuda/kernel_variant.hpp>

KVLAB_INLINE float __int_as_float(int bits) {
    return __builtin_bit_cast(float, bits);
}

KVLAB_INLINE int __float_as_int(float value) {
    return __builtin_bit_cast(int, value);
}

KVLAB_INLINE float __uint_as_float(unsigned bits) {
    return __builtin_bit_cast(float, bits);
}

KVLAB_INLINE unsigned __float_as_uint(float value) {
    return __builtin_bit_cast(unsigned, value);
}

// Bits. The first and the last of none: __ffs(0) is 0, __clz(0) is 32.
KVLAB_INLINE int __popc(unsigned bits) {
    return std::popcount(bits);
}

KVLAB_INLINE int __popcll(unsigned long long bits) {
    return std::popcount(bits);
}

KVLAB_INLINE int __ffs(int bits) {
    return __builtin_ffs(bits);
}

KVLAB_INLINE int __ffsll(long long bits) {
    return __builtin_ffsll(bits);
}

KVLAB_INLINE int __clz(int bits) {
    return std::countl_zero(static_cast<unsigned>(bits));
}

KVLAB_INLINE int __clzll(long long bits) {
    return std::countl_zero(static_cast<unsigned long long>(bits));
}

KVLAB_INLINE unsigned __brev(unsigned bits) {
    unsigned reversed = 0;
    for (int i = 0; i < 32; ++i) reversed |= (bits >> i & 1u) << (31 - i);
    return reversed;
}

// The upper half of a product of 64 bits.
KVLAB_INLINE int __mulhi(int a, int b) {
    return static_cast<int>((static_cast<long long>(a) * b) >> 32);
}

KVLAB_INLINE unsigned __umulhi(unsigned a, unsigned b) {
    return static_cast<unsigned>((static_cast<unsigned long long>(a) * b) >> 32);
}

// To an integer in a direction that is named: to the nearest (ties to even), to zero, down, up.
// What does not fit is the nearest number that does; a NaN is 0, of 64 bits the least number.
template <class Integer>
KVLAB_INLINE Integer kvlab_to_integer(float rounded) {
    using Limits = std::numeric_limits<Integer>;
    if (rounded != rounded) return sizeof(Integer) == 8 ? Limits::min() : 0;
    if (rounded <= static_cast<float>(Limits::min())) return Limits::min();
    if (rounded >= static_cast<float>(Limits::max())) return Limits::max();
    return static_cast<Integer>(rounded);
}

#define KVLAB_CONVERSIONS(suffix, round)                   \
    KVLAB_INLINE int __float2int_##suffix(float x) {       \
        return kvlab_to_integer<int>(round(x));            \
    }                                                      \
    KVLAB_INLINE unsigned __float2uint_##suffix(float x) { \
        return kvlab_to_integer<unsigned>(round(x));       \
    }                                                      \
    KVLAB_INLINE long long __float2ll_##suffix(float x) {  \
        return kvlab_to_integer<long long>(round(x));      \
    }
KVLAB_CONVERSIONS(rn, __builtin_rintf)
KVLAB_CONVERSIONS(rz, __builtin_truncf)
KVLAB_CONVERSIONS(rd, __builtin_floorf)
KVLAB_CONVERSIONS(ru, __builtin_ceilf)
#undef KVLAB_CONVERSIONS

KVLAB_INLINE float __int2float_rn(int x) {
    return static_cast<float>(x);
}

KVLAB_INLINE float __uint2float_rn(unsigned x) {
    return static_cast<float>(x);
}

KVLAB_INLINE float __ll2float_rn(long long x) {
    return static_cast<float>(x);
}

// Of integers. For floats see forbidden_words.hpp.
#define KVLAB_MIN_MAX(Type)                 \
    KVLAB_INLINE Type min(Type a, Type b) { \
        return a < b ? a : b;               \
    }                                       \
    KVLAB_INLINE Type max(Type a, Type b) { \
        return a > b ? a : b;               \
    }
KVLAB_MIN_MAX(int)
KVLAB_MIN_MAX(unsigned)
KVLAB_MIN_MAX(long long)
KVLAB_MIN_MAX(unsigned long long)
#undef KVLAB_MIN_MAX

// Loads and stores with a wish for the caches, which do not exist here.
#define KVLAB_LOAD(word)                    \
    template <class T>                      \
    KVLAB_INLINE T word(const T* address) { \
        return *address;                    \
    }
KVLAB_LOAD(__ldg)
KVLAB_LOAD(__ldca)
KVLAB_LOAD(__ldcg)
KVLAB_LOAD(__ldcs)
#undef KVLAB_LOAD

#define KVLAB_STORE(word)                                \
    template <class T>                                   \
    KVLAB_INLINE void word(T* address, const T& value) { \
        *address = value;                                \
    }
KVLAB_STORE(__stcg)
KVLAB_STORE(__stcs)
#undef KVLAB_STORE

// Spelled out operations: never contracted by nvcc, and counted here in checked mode. Those of
// a plain a * b + c are not: nothing tells the executor about them.
KVLAB_INLINE float __fadd_rn(float a, float b) {
    if (KVLAB_IS_CHECKED) ::kvlab::simt::count_add();
    return a + b;
}

KVLAB_INLINE float __fsub_rn(float a, float b) {
    if (KVLAB_IS_CHECKED) ::kvlab::simt::count_add();
    return a - b;
}

KVLAB_INLINE float __fmul_rn(float a, float b) {
    if (KVLAB_IS_CHECKED) ::kvlab::simt::count_mul();
    return a * b;
}

KVLAB_INLINE float __fmaf_rn(float a, float b, float c) {
    if (KVLAB_IS_CHECKED) ::kvlab::simt::count_fma();
    return __builtin_fmaf(a, b, c);
}

KVLAB_INLINE float __fdiv_rn(float a, float b) {
    return a / b;
}

KVLAB_INLINE float __frcp_rn(float a) {
    return 1.0f / a;
}

KVLAB_INLINE float __fsqrt_rn(float a) {
    return __builtin_sqrtf(a);
}
