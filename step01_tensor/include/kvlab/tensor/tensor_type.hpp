// tensor_type.hpp - chapter 1: how a tensor's numbers are written as bytes: plain floats, or
// blocks of 32 numbers that share a scale, or blocks of 256 whose scales are codes themselves.
//
//   F32   4 bytes a number          F16, BF16   2 bytes a number
//
//   Q8_0  [ d | q0 q1 ... q31 ]                x = d * q          34 bytes
//   Q4_0  [ d | 16 bytes of two codes ]        x = d * (q - 8)    18 bytes
//   Q4_1  [ d | m | 16 bytes of two codes ]    x = d * q + m      20 bytes
//           ^ f16      ^ byte j: low half = number j, high half = number j + 16
//
//   Q4_K  [ d | dmin | 12 bytes of scales | 128 bytes of codes ]               144 bytes
//         x = d * sc * q - dmin * m: eight groups of 32 numbers, each with a scale sc and a
//         minimum m of 6 bits. Bytes 32i .. 32i+31 of the codes: low halves = group 2i, high
//         halves = group 2i + 1. Scales and minima, by the 12 bytes' bits:
//
//         byte 0..3    sc of group j = 0..3 in bits 0-5 | upper two bits of sc of group j + 4
//         byte 4..7    m  of group j = 0..3 in bits 0-5 | upper two bits of m  of group j + 4
//         byte 8..11   lower four bits of sc of group j + 4 | lower four bits of its m
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include <kvlab/tensor/tensor.hpp>
#include <kvlab/tensor/type_number.hpp>

namespace kvlab {

inline constexpr TensorType kTensorTypes[] = {
    TensorType::f32,  TensorType::f16,  TensorType::bf16, TensorType::q8_0,
    TensorType::q4_0, TensorType::q4_1, TensorType::q4_k};

// The type with this number in a file; nothing if kvlab does not read it.
std::optional<TensorType> tensor_type_from_number(std::uint32_t number);
// The type called "f32", "Q4_0" ...; nothing if there is none. Upper and lower case
// are the same.
std::optional<TensorType> tensor_type_from_name(std::string_view name);

// "F32", "Q4_0" ...
const char* type_name(TensorType type);
// Numbers in one block (1 for the plain types, 256 for Q4_K, 32 for the others), and the
// block's bytes.
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
