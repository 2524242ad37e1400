// type_number.hpp - chapter 1: the numbers of the ways in which a tensor may be written
// (tensor_type.hpp), by themselves: kernels of a GPU read them, too.
#pragma once

#include <cstdint>

#include <kvlab/tensor/compiler.hpp>

namespace kvlab {

// The numbers are GGUF's own.
enum class TensorType : std::uint32_t {
    f32 = 0,
    f16 = 1,
    q4_0 = 2,
    q4_1 = 3,
    q8_0 = 8,
    q4_k = 12,
    bf16 = 30,
};

}  // namespace kvlab
