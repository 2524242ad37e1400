// packed_codes.hpp - chapter 6: one code of a tile, in words of 32 bits.
//
// ANCHOR: words
//   chunks of 16 codes in 4 bits: 8 of them share 16 words, and lane l of each is in word l
//
//     word 0                             word 1                          ...  word 15
//     [ 112 96 80 64 48 32 16  0 ]       [ 113 97 81 65 49 33 17  1 ]         [ ... 31 15 ]
//       highest bits        lowest
//
//   and 128 to 255 lie in the words 16 to 31. In 2 bits 16 chunks share 16 words. Of 3 bits the
//   lower two lie as in 2 bits, for 512 codes in 32 words, and their highest bits, as in 1 bit,
//   in the 16 words after those.
// ANCHOR_END: words
#pragma once

#include <cstdint>

#include <kvlab/tensor/tensor.hpp>

namespace kvlab {

// Code number `flat` of a tile, in 8, 4, 3 or 2 bits.
std::uint8_t packed_code(const std::byte* codes, Index bits, Index flat);
void set_packed_code(std::byte* codes, Index bits, Index flat, std::uint8_t code);

}  // namespace kvlab
