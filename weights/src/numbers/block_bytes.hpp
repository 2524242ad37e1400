// block_bytes.hpp - what the quantisers of all block formats share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include <kvlab/tensor/half.hpp>
#include <kvlab/tensor/tensor_type.hpp>

namespace kvlab::detail {

template <class T>
void store(std::byte* to, T value) {
    std::memcpy(to, &value, sizeof value);
}

// Scales go through f16; the largest that it holds is 65504.
inline void store_half(std::byte* to, float value, TensorType type) {
    const std::uint16_t half = f32_to_f16(value);
    check((half & 0x7c00u) != 0x7c00u, "quantize ", type_name(type), ": the f16 number ", value,
          " is too large (at most 65504)");
    store(to, half);
}

// One block: x [256] to 144 bytes.
void quantize_q4_k(const float* x, std::byte* out);

}  // namespace kvlab::detail
