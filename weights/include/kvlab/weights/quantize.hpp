// quantize.hpp - from float32 to the block formats of tensor_type.hpp; dequantize() is
// the way back.
#pragma once

#include <cstddef>
#include <span>

#include <kvlab/tensor/tensor_type.hpp>

namespace kvlab {

// The nearest thing in this type, byte for byte what ggml's reference quantiser writes.
// Throws Error for wrong lengths, and for a number that is not finite or too large for the
// type; `out` is then partly written.
void quantize(TensorType type, std::span<const float> values, std::span<std::byte> out);

}  // namespace kvlab
