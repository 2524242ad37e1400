// random_blocks.hpp - weights of any format, as random bytes with finite scales.
#pragma once

#include <cstring>
#include <vector>

#include <kvlab/tensor/random.hpp>
#include <kvlab/tensor/tensor.hpp>
#include <kvlab/tensor/tensor_type.hpp>

namespace kvlab::test {

// An f16 that is finite and not so large that sums overflow: exponent at most that of 1 to 2.
inline std::uint16_t random_half(Rng& rng) {
    const auto bits = static_cast<std::uint16_t>(rng.below(0x10000));
    return static_cast<std::uint16_t>(bits & 0xbfffu);
}

// The least depth of a matrix in this type that is not below `depth`.
inline Index whole_blocks(TensorType type, Index depth) {
    const Index block = block_elements(type);
    return (depth + block - 1) / block * block;
}

inline std::vector<std::byte> random_rows(TensorType type, Index rows, Index depth, Rng& rng) {
    std::vector<std::byte> bytes(usize(rows * bytes_for(type, depth)));
    for (std::byte& b : bytes) b = static_cast<std::byte>(rng.below(256));
    const auto size = usize(block_bytes(type));
    for (std::size_t at = 0; at < bytes.size(); at += size) {
        if (type == TensorType::f32) {
            const float value = rng.normal();
            std::memcpy(&bytes[at], &value, 4);
            continue;
        }
        const std::size_t halves = type == TensorType::q4_1 || type == TensorType::q4_k ? 2 : 1;
        for (std::size_t h = 0; h < halves; ++h) {
            std::uint16_t half = random_half(rng);
            if (type == TensorType::bf16) half = static_cast<std::uint16_t>(half & 0xbf80u);
            std::memcpy(&bytes[at + 2 * h], &half, 2);
        }
    }
    return bytes;
}

inline Tensor dequantized(TensorType type,
                          const std::vector<std::byte>& bytes,
                          Index N,
                          Index K) {
    Tensor w({N, K});
    dequantize(type, bytes, w.flat());
    return w;
}

}  // namespace kvlab::test
