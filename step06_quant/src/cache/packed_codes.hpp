// packed_codes.hpp - chapter 6: one code of a tile, where expand_kernels.hpp draws it.
#pragma once

#include <cstdint>

#include <kvlab/tensor/tensor.hpp>

namespace kvlab {

// Code number `flat` of a tile, in 8, 4, 3 or 2 bits.
std::uint8_t packed_code(const std::byte* codes, Index bits, Index flat);
void set_packed_code(std::byte* codes, Index bits, Index flat, std::uint8_t code);

}  // namespace kvlab
