// simd_codes.hpp - chapter 1: the part of the SIMD vocabulary that codes of less than a byte
// and 8-bit floats need. For kernel sources, as simd.hpp.
//
// A register of Words holds a word of 32 bits per lane. Codes of w bits lie in a word from the
// lowest bits on; look_up() takes the lowest four bits of each lane as a place in a table of 16
// floats, so a table of fewer levels has to be repeated.
#pragma once

#include <kvlab/tensor/simd.hpp>

namespace kvlab::KVLAB_SIMD {

#if defined(__AVX512F__)

using Table = __m512;

KVLAB_INLINE Table load_table(const float* sixteen) {
    return _mm512_loadu_ps(sixteen);
}

KVLAB_INLINE Vec look_up(Words words, const Table& table) {
    return _mm512_permutexvar_ps(words, table);
}

KVLAB_INLINE Words shift_right(Words words, int bits) {
    return _mm512_srli_epi32(words, static_cast<unsigned>(bits));
}

KVLAB_INLINE Words shift_left(Words words, int bits) {
    return _mm512_slli_epi32(words, static_cast<unsigned>(bits));
}

KVLAB_INLINE Words masked(Words words, int mask) {
    return _mm512_and_si512(words, _mm512_set1_epi32(mask));
}

KVLAB_INLINE Words either(Words a, Words b) {
    return _mm512_or_si512(a, b);
}

KVLAB_INLINE Vec as_floats(Words words) {
    return _mm512_castsi512_ps(words);
}

KVLAB_INLINE Words as_words(Vec v) {
    return _mm512_castps_si512(v);
}

KVLAB_INLINE Words load_bytes(const std::byte* p) {  // a byte in each lane
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}

#elif defined(__AVX2__)

struct Table {
    __m256 low, high;
};

KVLAB_INLINE Table load_table(const float* sixteen) {
    return {_mm256_loadu_ps(sixteen), _mm256_loadu_ps(sixteen + 8)};
}

KVLAB_INLINE Vec look_up(Words words, const Table& table) {
    const __m256 eighth = _mm256_castsi256_ps(_mm256_slli_epi32(words, 28));  // the sign: bit 3
    return _mm256_blendv_ps(_mm256_permutevar8x32_ps(table.low, words),
                            _mm256_permutevar8x32_ps(table.high, words), eighth);
}

KVLAB_INLINE Words shift_right(Words words, int bits) {
    return _mm256_srli_epi32(words, bits);
}

KVLAB_INLINE Words shift_left(Words words, int bits) {
    return _mm256_slli_epi32(words, bits);
}

KVLAB_INLINE Words masked(Words words, int mask) {
    return _mm256_and_si256(words, _mm256_set1_epi32(mask));
}

KVLAB_INLINE Words either(Words a, Words b) {
    return _mm256_or_si256(a, b);
}

KVLAB_INLINE Vec as_floats(Words words) {
    return _mm256_castsi256_ps(words);
}

KVLAB_INLINE Words as_words(Vec v) {
    return _mm256_castps_si256(v);
}

KVLAB_INLINE Words load_bytes(const std::byte* p) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}

#else

struct Table {
    float levels[16];
};

template <class F>
KVLAB_INLINE Words wordwise(F f) {
    Words words;
    for (Index i = 0; i < kLanes; ++i) words.lane[i] = f(i);
    return words;
}

KVLAB_INLINE Table load_table(const float* sixteen) {
    Table table;
    for (int i = 0; i < 16; ++i) table.levels[i] = sixteen[i];
    return table;
}

KVLAB_INLINE Vec look_up(Words words, const Table& table) {
    return lanewise([&](Index i) { return table.levels[words.lane[i] & 15u]; });
}

KVLAB_INLINE Words shift_right(Words words, int bits) {
    return wordwise([&](Index i) { return words.lane[i] >> bits; });
}

KVLAB_INLINE Words shift_left(Words words, int bits) {
    return wordwise([&](Index i) { return words.lane[i] << bits; });
}

KVLAB_INLINE Words masked(Words words, int mask) {
    return wordwise([&](Index i) { return words.lane[i] & static_cast<std::uint32_t>(mask); });
}

KVLAB_INLINE Words either(Words a, Words b) {
    return wordwise([&](Index i) { return a.lane[i] | b.lane[i]; });
}

KVLAB_INLINE Vec as_floats(Words words) {
    return lanewise([&](Index i) { return __builtin_bit_cast(float, words.lane[i]); });
}

KVLAB_INLINE Words as_words(Vec v) {
    return wordwise([&](Index i) { return __builtin_bit_cast(std::uint32_t, v.lane[i]); });
}

KVLAB_INLINE Words load_bytes(const std::byte* p) {
    return wordwise([&](Index i) { return std::uint32_t{number_at<std::uint8_t>(p, i)}; });
}

#endif

// The 8-bit floats of float8.hpp; finite ones alone.
KVLAB_INLINE Vec load_float8(const std::byte* p, int shift, float factor) {
    const Words bytes = load_bytes(p);
    const Vec magnitude = mul(as_floats(shift_left(masked(bytes, 0x7f), shift)), fill(factor));
    const Words sign = shift_left(masked(bytes, 0x80), 24);
    // A magnitude has no sign bit, so its bits and the sign's can be put together.
    return as_floats(either(as_words(magnitude), sign));
}

KVLAB_INLINE Vec load_e4m3(const std::byte* p) {
    return load_float8(p, 20, 0x1p120f);
}

KVLAB_INLINE Vec load_e5m2(const std::byte* p) {
    return load_float8(p, 21, 0x1p112f);
}

}  // namespace kvlab::KVLAB_SIMD
