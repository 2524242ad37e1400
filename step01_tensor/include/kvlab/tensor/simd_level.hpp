// simd_level.hpp - chapter 1: which instructions this processor has, decided at run time.
#pragma once

#include <string_view>
#include <vector>

#include <kvlab/tensor/compiler.hpp>

namespace kvlab {

// Each level is the same source compiled for other registers; all give the same bits.
enum class SimdLevel { portable, avx2, avx512 };

const char* simd_level_name(SimdLevel level);

// The levels that are built in and that this processor runs, worst first. Never empty.
const std::vector<SimdLevel>& supported_simd_levels();

// The best supported level, or the one that the environment variable KVLAB_SIMD names.
// Throws Error when that name is unknown or not supported here.
SimdLevel default_simd_level();

// Throws Error unless the level is built in and supported by this processor.
void check_simd_level(SimdLevel level);

// Throws Error when the name is unknown or the level is not supported here.
SimdLevel parse_simd_level(std::string_view name);

}  // namespace kvlab
