// What the bytes of each type mean: contract, rule 6. Every way to compute with such numbers,
// however fast, has to give what these loops give.
#include <kvlab/tensor/tensor_type.hpp>

#include <bit>
#include <cstring>

#include <kvlab/tensor/half.hpp>

namespace kvlab {

static_assert(std::endian::native == std::endian::little, "GGUF bytes are used as they are");

namespace {

constexpr std::size_t kPerBlock = 32;

template <class T>
T load(const std::byte* from) {
    T value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

float load_half(const std::byte* from) {
    return f16_to_f32(load<std::uint16_t>(from));
}

void dequantize_q8_0(const std::byte* block, float* x) {
    const float d = load_half(block);
    for (std::size_t j = 0; j < kPerBlock; ++j)
        x[j] = d * static_cast<float>(load<std::int8_t>(block + 2 + j));
}

// ANCHOR: dequantize_q4
void dequantize_q4_0(const std::byte* block, float* x) {
    const float d = load_half(block);
    for (std::size_t j = 0; j < kPerBlock / 2; ++j) {
        const int codes = std::to_integer<int>(block[2 + j]);
        x[j] = d * static_cast<float>((codes & 15) - 8);
        x[j + kPerBlock / 2] = d * static_cast<float>((codes >> 4) - 8);
    }
}

void dequantize_q4_1(const std::byte* block, float* x) {
    const float d = load_half(block), m = load_half(block + 2);
    for (std::size_t j = 0; j < kPerBlock / 2; ++j) {
        const int codes = std::to_integer<int>(block[4 + j]);
        x[j] = d * static_cast<float>(codes & 15) + m;
        x[j + kPerBlock / 2] = d * static_cast<float>(codes >> 4) + m;
    }
}

// ANCHOR_END: dequantize_q4

// ANCHOR: dequantize_q4_k
// The 6-bit scale and minimum of group j: the picture is in tensor_type.hpp.
void scale_and_minimum(const std::byte* packed, std::size_t j, float* scale, float* minimum) {
    const auto at = [&](std::size_t i) { return std::to_integer<int>(packed[i]); };
    if (j < 4) {
        *scale = static_cast<float>(at(j) & 63);
        *minimum = static_cast<float>(at(j + 4) & 63);
    } else {
        *scale = static_cast<float>((at(j + 4) & 15) | at(j - 4) >> 6 << 4);
        *minimum = static_cast<float>(at(j + 4) >> 4 | at(j) >> 6 << 4);
    }
}

// d * sc * q has at most 11 + 6 + 4 bits, so only the subtraction rounds.
void dequantize_q4_k(const std::byte* block, float* x) {
    const float d = load_half(block), dmin = load_half(block + 2);
    for (std::size_t j = 0; j < 8; ++j, x += kPerBlock) {
        float scale = 0, minimum = 0;
        scale_and_minimum(block + 4, j, &scale, &minimum);
        const std::byte* codes = block + 16 + j / 2 * kPerBlock;
        for (std::size_t i = 0; i < kPerBlock; ++i) {
            const int code = std::to_integer<int>(codes[i]) >> (j % 2 * 4) & 15;
            x[i] = d * scale * static_cast<float>(code) - dmin * minimum;
        }
    }
}

// ANCHOR_END: dequantize_q4_k

}  // namespace

void dequantize(TensorType type, std::span<const std::byte> blocks, std::span<float> out) {
    check_sizes("dequantize", type, out.size(), blocks.size());
    using Bytes = const std::byte*;
    const auto run = [&](auto step) {
        const auto elements = usize(block_elements(type));
        Bytes block = blocks.data();
        for (std::size_t i = 0; i < out.size(); i += elements, block += block_bytes(type))
            step(&out[i], block);
    };
    switch (type) {
        case TensorType::f32:
            run([](float* x, Bytes b) { *x = load<float>(b); });
            break;
        case TensorType::f16:
            run([](float* x, Bytes b) { *x = load_half(b); });
            break;
        case TensorType::bf16:
            run([](float* x, Bytes b) { *x = bf16_to_f32(load<std::uint16_t>(b)); });
            break;
        case TensorType::q8_0:
            run([](float* x, Bytes b) { dequantize_q8_0(b, x); });
            break;
        case TensorType::q4_0:
            run([](float* x, Bytes b) { dequantize_q4_0(b, x); });
            break;
        case TensorType::q4_1:
            run([](float* x, Bytes b) { dequantize_q4_1(b, x); });
            break;
        case TensorType::q4_k:
            run([](float* x, Bytes b) { dequantize_q4_k(b, x); });
            break;
    }
}

}  // namespace kvlab
