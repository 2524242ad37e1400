// tensor_type.hpp - chapter 1: how a tensor's numbers are written as bytes: plain floats, or
// blocks of 32 numbers that share a scale.
//
//   F32   4 bytes a number          F16, BF16   2 bytes a number
//
//   Q8_0  [ d | q0 q1 ... q31 ]                x = d * q          34 bytes
//   Q4_0  [ d | 16 bytes of two codes ]        x = d * (q - 8)    18 bytes
//   Q4_1  [ d | m | 16 bytes of two codes ]    x = d * q + m      20 bytes
//           ^ f16      ^ byte j: low half = number j, high half = number j + 16
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include <kvlab/tensor/tensor.hpp>

namespace kvlab {

// The numbers are GGUF's own.
enum class TensorType : std::uint32_t {
    f32 = 0,
    f16 = 1,
    q4_0 = 2,
    q4_1 = 3,
    q8_0 = 8,
    bf16 = 30,
};

inline constexpr TensorType kTensorTypes[] = {TensorType::f32,  TensorType::f16,
                                              TensorType::bf16, TensorType::q8_0,
                                              TensorType::q4_0, TensorType::q4_1};

// The type with this number in a file; nothing if kvlab does not read it.
std::optional<TensorType> tensor_type_from_number(std::uint32_t number);
// The type called "f32", "Q4_0" ...; nothing if there is none. Upper and lower case are the
// same.
std::optional<TensorType> tensor_type_from_name(std::string_view name);

// "F32", "Q4_0" ...
const char* type_name(TensorType type);
// Numbers in one block (1 for the plain types, 32 for the others), and the block's bytes.
Index block_elements(TensorType type);
Index block_bytes(TensorType type);
bool is_quantized(TensorType type);

// Bytes of `count` numbers. Throws Error unless count is a multiple of the block.
Index bytes_for(TensorType type, Index count);

// Throws Error, beginning with `verb` and the type, unless `numbers` is a multiple of the block
// and `bytes` are exactly theirs.
void check_sizes(const char* verb, TensorType type, std::size_t numbers, std::size_t bytes);

// The one defined value of every number (contract, rule 6).
// Throws Error unless out has a whole number of blocks and blocks has exactly their bytes.
void dequantize(TensorType type, std::span<const std::byte> blocks, std::span<float> out);

}  // namespace kvlab
