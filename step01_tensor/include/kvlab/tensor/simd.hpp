// simd.hpp - chapter 1: the SIMD vocabulary of all kernels, in one file.
//
// A kernel source is compiled once per level with KVLAB_SIMD set to portable, avx2 or avx512,
// and lives in the namespace of that name: no inline function of one level can ever be taken
// for another's, which would run an AVX-512 instruction on a processor that has none. For the
// same reason kernel sources use nothing of the standard library but plain types and <cstdint>.
//
// Vec is one register of kLanes floats; each lane is a DIFFERENT output, so a lane computes
// exactly what the plain loop computes. There is no sum over lanes here, on purpose.
#pragma once

#include <cstddef>
#include <cstdint>

#include <kvlab/tensor/compiler.hpp>

#if !defined(KVLAB_SIMD)
#error \
    "simd.hpp belongs in kernel sources, which kvlab_library(... SIMD ...) compiles per level"
#endif

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace kvlab {
using Index = std::ptrdiff_t;
}

namespace kvlab::KVLAB_SIMD {

#define KVLAB_INLINE static inline __attribute__((always_inline))

KVLAB_INLINE float fma1(float a, float b, float c) {
    return __builtin_fmaf(a, b, c);
}

#if defined(__AVX512F__)

inline constexpr Index kLanes = 16;
using Vec = __m512;

KVLAB_INLINE Vec load(const float* p) {
    return _mm512_loadu_ps(p);
}

KVLAB_INLINE void store(float* p, Vec v) {
    _mm512_storeu_ps(p, v);
}

KVLAB_INLINE Vec fill(float x) {
    return _mm512_set1_ps(x);
}

KVLAB_INLINE Vec add(Vec a, Vec b) {
    return _mm512_add_ps(a, b);
}

KVLAB_INLINE Vec sub(Vec a, Vec b) {
    return _mm512_sub_ps(a, b);
}

KVLAB_INLINE Vec mul(Vec a, Vec b) {
    return _mm512_mul_ps(a, b);
}

KVLAB_INLINE Vec div(Vec a, Vec b) {
    return _mm512_div_ps(a, b);
}

KVLAB_INLINE Vec fma(Vec a, Vec b, Vec c) {
    return _mm512_fmadd_ps(a, b, c);
}

KVLAB_INLINE Vec larger(Vec a, Vec b) {
    return _mm512_max_ps(a, b);
}  // a > b ? a : b

KVLAB_INLINE Vec smaller(Vec a, Vec b) {
    return _mm512_min_ps(a, b);
}  // a < b ? a : b

KVLAB_INLINE Vec round_even(Vec a) {
    return _mm512_roundscale_ps(a, 8);
}

KVLAB_INLINE Vec pow2_in_range(Vec e) {  // e integral in [-127, 128]
    const __m512i biased = _mm512_add_epi32(_mm512_cvtps_epi32(e), _mm512_set1_epi32(127));
    return _mm512_castsi512_ps(_mm512_slli_epi32(biased, 23));
}

KVLAB_INLINE Vec first_lanes(Vec a, Index count, float other) {
    const __m512i index =
        _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i limit = _mm512_set1_epi32(static_cast<int>(count));
    return _mm512_mask_blend_ps(_mm512_cmplt_epi32_mask(index, limit), fill(other), a);
}

KVLAB_INLINE float largest_lane(Vec a) {
    return _mm512_reduce_max_ps(a);
}

KVLAB_INLINE float first_lane(Vec a) {
    return _mm512_cvtss_f32(a);
}

KVLAB_INLINE Vec load_f16(const std::byte* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}

KVLAB_INLINE Vec load_bf16(const std::byte* p) {
    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

KVLAB_INLINE Vec load_i8(const std::byte* p) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
}

using Words = __m512i;

KVLAB_INLINE Words load_words(const std::byte* p) {
    return _mm512_loadu_si512(p);
}

KVLAB_INLINE Vec nibble(Words words, int j) {  // a table of 16 floats needs no mask: the lookup
    const Vec digits =                         // takes the lowest four bits by itself
        _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm512_permutexvar_ps(
        j == 0 ? words : _mm512_srli_epi32(words, static_cast<unsigned>(4 * j)), digits);
}

KVLAB_INLINE Vec bits(Words words, int shift, int mask) {
    const Words shifted = _mm512_srli_epi32(words, static_cast<unsigned>(shift));
    return _mm512_cvtepi32_ps(_mm512_and_si512(shifted, _mm512_set1_epi32(mask)));
}

#elif defined(__AVX2__)

inline constexpr Index kLanes = 8;
using Vec = __m256;

KVLAB_INLINE Vec load(const float* p) {
    return _mm256_loadu_ps(p);
}

KVLAB_INLINE void store(float* p, Vec v) {
    _mm256_storeu_ps(p, v);
}

KVLAB_INLINE Vec fill(float x) {
    return _mm256_set1_ps(x);
}

KVLAB_INLINE Vec add(Vec a, Vec b) {
    return _mm256_add_ps(a, b);
}

KVLAB_INLINE Vec sub(Vec a, Vec b) {
    return _mm256_sub_ps(a, b);
}

KVLAB_INLINE Vec mul(Vec a, Vec b) {
    return _mm256_mul_ps(a, b);
}

KVLAB_INLINE Vec div(Vec a, Vec b) {
    return _mm256_div_ps(a, b);
}

KVLAB_INLINE Vec fma(Vec a, Vec b, Vec c) {
    return _mm256_fmadd_ps(a, b, c);
}

KVLAB_INLINE Vec larger(Vec a, Vec b) {
    return _mm256_max_ps(a, b);
}

KVLAB_INLINE Vec smaller(Vec a, Vec b) {
    return _mm256_min_ps(a, b);
}

KVLAB_INLINE Vec round_even(Vec a) {
    return _mm256_round_ps(a, 8);
}

KVLAB_INLINE Vec pow2_in_range(Vec e) {
    const __m256i biased = _mm256_add_epi32(_mm256_cvtps_epi32(e), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(biased, 23));
}

KVLAB_INLINE Vec first_lanes(Vec a, Index count, float other) {
    const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i seen = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), index);
    return _mm256_blendv_ps(fill(other), a, _mm256_castsi256_ps(seen));
}

KVLAB_INLINE float largest_lane(Vec a) {
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    four = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
}

KVLAB_INLINE float first_lane(Vec a) {
    return _mm256_cvtss_f32(a);
}

KVLAB_INLINE Vec load_f16(const std::byte* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}

KVLAB_INLINE Vec load_bf16(const std::byte* p) {
    const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}

KVLAB_INLINE Vec load_i8(const std::byte* p) {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
}

using Words = __m256i;

KVLAB_INLINE Words load_words(const std::byte* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}

KVLAB_INLINE Vec bits(Words words, int shift, int mask) {
    const __m256i code =
        _mm256_and_si256(_mm256_srli_epi32(words, shift), _mm256_set1_epi32(mask));
    return _mm256_cvtepi32_ps(code);
}

KVLAB_INLINE Vec nibble(Words words, int j) {
    return bits(words, 4 * j, 15);
}

#else

// Four lanes as a plain loop: what the intrinsics above mean. The compiler turns it into the
// registers of any processor (NEON on ARM); on x86-64 without FMA, each fma is a call,
// slow but exact.
inline constexpr Index kLanes = 4;

struct Vec {
    float lane[kLanes];
};

template <class F>
KVLAB_INLINE Vec lanewise(F f) {
    Vec r;
    for (Index i = 0; i < kLanes; ++i) r.lane[i] = f(i);
    return r;
}

KVLAB_INLINE Vec load(const float* p) {
    return lanewise([&](Index i) { return p[i]; });
}

KVLAB_INLINE void store(float* p, Vec v) {
    for (Index i = 0; i < kLanes; ++i) p[i] = v.lane[i];
}

KVLAB_INLINE Vec fill(float x) {
    return lanewise([&](Index) { return x; });
}

KVLAB_INLINE Vec add(Vec a, Vec b) {
    return lanewise([&](Index i) { return a.lane[i] + b.lane[i]; });
}

KVLAB_INLINE Vec sub(Vec a, Vec b) {
    return lanewise([&](Index i) { return a.lane[i] - b.lane[i]; });
}

KVLAB_INLINE Vec mul(Vec a, Vec b) {
    return lanewise([&](Index i) { return a.lane[i] * b.lane[i]; });
}

KVLAB_INLINE Vec div(Vec a, Vec b) {
    return lanewise([&](Index i) { return a.lane[i] / b.lane[i]; });
}

KVLAB_INLINE Vec fma(Vec a, Vec b, Vec c) {
    return lanewise([&](Index i) { return fma1(a.lane[i], b.lane[i], c.lane[i]); });
}

KVLAB_INLINE Vec larger(Vec a, Vec b) {
    return lanewise([&](Index i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
}

KVLAB_INLINE Vec smaller(Vec a, Vec b) {
    return lanewise([&](Index i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
}

KVLAB_INLINE Vec round_even(Vec a) {
    return lanewise([&](Index i) { return __builtin_nearbyintf(a.lane[i]); });
}

KVLAB_INLINE Vec pow2_in_range(Vec e) {
    return lanewise([&](Index i) {
        const std::uint32_t bits =
            static_cast<std::uint32_t>(static_cast<std::int32_t>(e.lane[i]) + 127) << 23;
        return __builtin_bit_cast(float, bits);
    });
}

// The first `count` lanes of a (all, none, or some), `other` in the rest.
KVLAB_INLINE Vec first_lanes(Vec a, Index count, float other) {
    return lanewise([&](Index i) { return i < count ? a.lane[i] : other; });
}

KVLAB_INLINE float largest_lane(Vec a) {
    float largest = a.lane[0];
    for (Index i = 1; i < kLanes; ++i) largest = a.lane[i] > largest ? a.lane[i] : largest;
    return largest;
}

KVLAB_INLINE float first_lane(Vec a) {
    return a.lane[0];
}

template <class T>
KVLAB_INLINE T number_at(const std::byte* p, Index i) {
    T number;
    __builtin_memcpy(&number, p + i * static_cast<Index>(sizeof(T)), sizeof(T));
    return number;
}

KVLAB_INLINE Vec load_f16(const std::byte* p) {  // half.hpp explains the format
    return lanewise([&](Index i) {
        const std::uint32_t half = number_at<std::uint16_t>(p, i), sign = (half & 0x8000u)
                                                                          << 16;
        if ((half & 0x7c00u) == 0x7c00u)  // infinity, NaN
            return __builtin_bit_cast(float, sign | 0x7f800000u | (half & 0x3ffu) << 13);
        const float value = __builtin_bit_cast(float, (half & 0x7fffu) << 13) * 0x1p112f;
        return __builtin_bit_cast(float, sign | __builtin_bit_cast(std::uint32_t, value));
    });
}

KVLAB_INLINE Vec load_bf16(const std::byte* p) {
    return lanewise([&](Index i) {
        const std::uint32_t upper = number_at<std::uint16_t>(p, i);
        return __builtin_bit_cast(float, upper << 16);
    });
}

KVLAB_INLINE Vec load_i8(const std::byte* p) {
    return lanewise([&](Index i) { return static_cast<float>(number_at<std::int8_t>(p, i)); });
}

struct Words {
    std::uint32_t lane[kLanes];
};

KVLAB_INLINE Words load_words(const std::byte* p) {
    Words words;
    for (Index i = 0; i < kLanes; ++i) words.lane[i] = number_at<std::uint32_t>(p, i);
    return words;
}

KVLAB_INLINE Vec bits(Words words, int shift, int mask) {  // a few bits as a number
    return lanewise([&](Index i) {
        return static_cast<float>(words.lane[i] >> shift & static_cast<std::uint32_t>(mask));
    });
}

KVLAB_INLINE Vec nibble(Words words, int j) {  // four bits as a number from 0 to 15
    return bits(words, 4 * j, 15);
}

#endif

// The polynomial of numerics.hpp: 2^f for f in [-0.5, 0.5].
KVLAB_INLINE Vec exp2_polynomial(Vec f) {
    Vec p = fill(0x1.470b4ap-13f);
    p = fma(p, f, fill(0x1.5f7276p-10f));
    p = fma(p, f, fill(0x1.3b2756p-7f));
    p = fma(p, f, fill(0x1.c6ae64p-5f));
    p = fma(p, f, fill(0x1.ebfbe6p-3f));
    p = fma(p, f, fill(0x1.62e432p-1f));
    return fma(p, f, fill(1.0f));
}

// 2^t, lane by lane the bits of kvlab::exp2.
KVLAB_INLINE Vec exp2(Vec t) {
    const Vec clamped = smaller(larger(t, fill(-127.0f)), fill(128.0f));
    const Vec n = round_even(clamped);
    return mul(exp2_polynomial(sub(clamped, n)), pow2_in_range(n));
}

}  // namespace kvlab::KVLAB_SIMD
