// float8.hpp - chapter 1: 8-bit floats, converted by integer arithmetic and the float adder so
// that every machine agrees.
//
//   E4M3FN  sign, 4 bits of exponent (bias 7), 3 of mantissa: largest 448, no infinity,
//           NaN is S.1111.111
//   E5M2    sign, 5 bits of exponent (bias 15), 2 of mantissa: the upper half of a binary16,
//           largest finite number 57344
//
// What is too large becomes the largest number: a cache that met one outlier would otherwise
// hold an infinity for the rest of the text.
#pragma once

#include <bit>
#include <cstdint>

#include <kvlab/tensor/half.hpp>

namespace kvlab {

// Every code has one value; exact.
inline float e5m2_to_f32(std::uint8_t code) {
    return f16_to_f32(static_cast<std::uint16_t>(code << 8));
}

inline float e4m3_to_f32(std::uint8_t code) {
    const std::uint32_t sign = static_cast<std::uint32_t>(code & 0x80u) << 24;
    const std::uint32_t magnitude = code & 0x7fu;
    if (magnitude == 0x7f) return std::bit_cast<float>(sign | 0x7fc00000u);
    // The exponent lands where a float's is, 120 too small; subnormals become subnormal floats.
    const float value = std::bit_cast<float>(magnitude << 20) * 0x1p120f;
    return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(value));
}

// float -> nearest code, ties to even, saturating; NaN stays NaN. `Shift` mantissa bits of a
// float go; `top` is the code of the largest number, and `adder` a float whose last bit is
// worth the smallest subnormal number: the adder rounds to a multiple of it.
template <int Shift, int Bias>
inline std::uint8_t f32_to_float8(float value, float largest, float adder, std::uint8_t top) {
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
    const auto sign = static_cast<std::uint8_t>((bits >> 24) & 0x80u);
    const std::uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return static_cast<std::uint8_t>(sign | 0x7fu);
    const float x = std::bit_cast<float>(magnitude);
    if (x > largest) return static_cast<std::uint8_t>(sign | top);
    constexpr std::uint32_t kSmallestNormal = (127u - Bias + 1) << 23;
    if (magnitude < kSmallestNormal)
        return static_cast<std::uint8_t>(sign | (std::bit_cast<std::uint32_t>(x + adder) -
                                                 std::bit_cast<std::uint32_t>(adder)));
    const std::uint32_t half = (1u << (Shift - 1)) - 1 + ((magnitude >> Shift) & 1u);
    return static_cast<std::uint8_t>(
        sign | (((magnitude + half) >> Shift) - ((127u - Bias) << (23 - Shift))));
}

inline std::uint8_t f32_to_e4m3(float value) {
    return f32_to_float8<20, 7>(value, 448.0f, 0x1p14f, 0x7e);
}

inline std::uint8_t f32_to_e5m2(float value) {
    return f32_to_float8<21, 15>(value, 57344.0f, 0x1p7f, 0x7b);
}

}  // namespace kvlab
