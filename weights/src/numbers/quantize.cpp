// Quantising follows ggml's reference (ggml-quants.c,
// quantize_row_q*_ref) operation by operation: the codes are computed from the scale BEFORE it
// is rounded to f16, although the reader will multiply with the rounded one.
#include <kvlab/weights/quantize.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include <kvlab/tensor/half.hpp>
#include "block_bytes.hpp"

namespace kvlab {

static_assert(std::endian::native == std::endian::little, "GGUF bytes are used as they are");

namespace {

using detail::store;
using detail::store_half;

constexpr std::size_t kBlock = 32;

void quantize_bf16(float value, std::byte* to) {
    const std::uint16_t bits = f32_to_bf16(value);
    check((bits & 0x7f80u) != 0x7f80u, "quantize BF16: the number ", value, " is too large");
    store(to, bits);
}

// 1/d, or 0 where that is no number: a block of zeros, or values so tiny (below 2^-128) that
// ggml's own result is not defined. In both cases d is 0 in f16, and every code means 0 or m.
float inverse(float d) {
    const float inverted = 1.0f / d;
    return std::isfinite(inverted) ? inverted : 0.0f;
}

// C's roundf by defined integer steps: the nearest integer, halves away from zero. |x| < 2^31.
int round_half_away(float x) {
    const int whole = static_cast<int>(x);  // towards zero
    const float rest = x - static_cast<float>(whole);
    if (rest >= 0.5f) return whole + 1;
    if (rest <= -0.5f) return whole - 1;
    return whole;
}

// Both 4-bit formats cut off what adding a half has rounded; only the top can run over.
unsigned code4(float x) {
    const int code = static_cast<int>(x);
    return static_cast<unsigned>(code < 15 ? code : 15);
}

// ANCHOR: quantize_q8_0
void quantize_q8_0(const float* x, std::byte* out) {
    float largest = 0;
    for (std::size_t j = 0; j < kBlock; ++j) largest = std::max(largest, std::fabs(x[j]));
    const float d = largest / 127.0f, inverted = inverse(d);
    store_half(out, d, TensorType::q8_0);
    for (std::size_t j = 0; j < kBlock; ++j)
        out[2 + j] = static_cast<std::byte>(round_half_away(x[j] * inverted));
}

// ANCHOR_END: quantize_q8_0

// ANCHOR: quantize_q4_0
void quantize_q4_0(const float* x, std::byte* out) {
    float largest = 0;  // with its sign: this number gets code 0, that is -8 steps
    for (std::size_t j = 0; j < kBlock; ++j)
        if (std::fabs(largest) < std::fabs(x[j])) largest = x[j];
    const float d = largest / -8.0f, inverted = inverse(d);
    store_half(out, d, TensorType::q4_0);
    for (std::size_t j = 0; j < kBlock / 2; ++j) {
        const unsigned low = code4(x[j] * inverted + 8.5f);
        const unsigned high = code4(x[j + kBlock / 2] * inverted + 8.5f);
        out[2 + j] = static_cast<std::byte>(low | high << 4);
    }
}

// ANCHOR_END: quantize_q4_0

void quantize_q4_1(const float* x, std::byte* out) {
    float least = x[0], most = x[0];
    for (std::size_t j = 1; j < kBlock; ++j) {
        if (x[j] < least) least = x[j];
        if (x[j] > most) most = x[j];
    }
    const float d = (most - least) / 15.0f, inverted = inverse(d);
    store_half(out, d, TensorType::q4_1);
    store_half(out + 2, least, TensorType::q4_1);
    for (std::size_t j = 0; j < kBlock / 2; ++j) {
        const unsigned low = code4((x[j] - least) * inverted + 0.5f);
        const unsigned high = code4((x[j + kBlock / 2] - least) * inverted + 0.5f);
        out[4 + j] = static_cast<std::byte>(low | high << 4);
    }
}

// Calls step(number, block) for each block: `elements` numbers apart, `bytes` bytes apart.
template <class Number, class Byte, class Step>
void for_blocks(TensorType type, std::span<Number> numbers, Byte* block, Step step) {
    const auto elements = usize(block_elements(type));
    const Index bytes = block_bytes(type);
    for (std::size_t i = 0; i < numbers.size(); i += elements, block += bytes)
        step(&numbers[i], block);
}

}  // namespace

void quantize(TensorType type, std::span<const float> values, std::span<std::byte> out) {
    check_sizes("quantize", type, values.size(), out.size());
    for (std::size_t i = 0; i < values.size(); ++i)
        if (!std::isfinite(values[i])) [[unlikely]]
            throw Error(concat("quantize ", type_name(type), ": number ", i, " is ", values[i],
                               ", expected a finite one"));
    const auto run = [&](auto step) { for_blocks(type, values, out.data(), step); };
    using Numbers = const float*;
    switch (type) {
        case TensorType::f32:
            run([](Numbers x, std::byte* b) { store(b, *x); });
            break;
        case TensorType::f16:
            run([](Numbers x, std::byte* b) { store_half(b, *x, TensorType::f16); });
            break;
        case TensorType::bf16:
            run([](Numbers x, std::byte* b) { quantize_bf16(*x, b); });
            break;
        case TensorType::q8_0:
            run(quantize_q8_0);
            break;
        case TensorType::q4_0:
            run(quantize_q4_0);
            break;
        case TensorType::q4_1:
            run(quantize_q4_1);
            break;
        case TensorType::q4_k:
            run(detail::quantize_q4_k);
            break;
    }
}

}  // namespace kvlab
