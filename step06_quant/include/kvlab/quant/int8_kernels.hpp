// int8_kernels.hpp - chapter 6: sums of products of bytes, exact, at every SIMD level.
//
// Whole numbers can be added in any order: so here, and only here, the lanes of a register may
// be parts of one sum, and all levels still have the same bits. The one thing that can go wrong
// is a number that does not fit.
//
// ANCHOR: panel
//   weights [N, K]  ->  panels [N/64][K/4][64][4]: 64 outputs side by side, four inputs each
//
//        inputs 0..3:  w[0][0..3] w[1][0..3] ... w[63][0..3]  |  inputs 4..7: ...
//                      `- 4 bytes: what one lane sums at once
//
// The processor multiplies UNSIGNED bytes by signed ones (VPDPBUSD), so a weight's code q is
// stored as q + 128. That adds 128 times the sum of x to every output; x knows that sum once
// for all outputs, and it is where the sums start, with a minus.
// ANCHOR_END: panel
#pragma once

#include <cstddef>
#include <cstdint>

#include <kvlab/tensor/compiler.hpp>

namespace kvlab {

using Index = std::ptrdiff_t;

inline constexpr Index kInt8Panel = 64;  // outputs of a panel
inline constexpr Index kInt8Group = 4;   // inputs that lie together
inline constexpr Index kInt8Rows = 6;    // rows of x that one call of `multiply` takes

// Sums of up to so many products fit into 32 bits: 255 * 127 * 66 311 < 2^31. (What a level
// adds up on its way is at most that: unsigned weights of at most 255, x of at most 127.)
inline constexpr Index kInt8Depth = 66'000;

struct Int8Kernels {
    // The largest |x[i]|.
    float (*largest)(const float* x, Index n);

    // codes[i] = nearest whole number to x[i] / scale, within +-127, or 0 if the scale is 0;
    // returns the codes' sum.
    std::int32_t (*codes)(const float* x, Index n, float scale, std::int8_t* codes);

    // starts [rows], panel [groups][64][4], sums [rows, 64]:
    // sums[r * 64 + c] = starts[r] + sum over groups and their four inputs of
    // x[r * x_stride + k] * panel[k / 4][c][k % 4], for rows of at most kInt8Rows.
    void (*multiply)(Index rows,
                     Index groups,
                     const std::int8_t* x,
                     Index x_stride,
                     const std::int32_t* starts,
                     const std::uint8_t* panel,
                     std::int32_t* sums);

    // y[c] = (x_scale * scales[c]) * float(sums[c])
    void (*scale)(
        Index width, float x_scale, const float* scales, const std::int32_t* sums, float* y);

    // The part of y that is not in integers: y[c] = y[c] + scales[c] * (sum over i < n of
    // x[i] * code of input inputs[i]), a sum by rule 2 of the contract.
    void (*add_outliers)(Index width,
                         Index n,
                         const std::int32_t* inputs,
                         const float* x,
                         const std::uint8_t* panel,
                         const float* scales,
                         float* y);
};

enum class SimdLevel;

// avx512 has two: without and with the instruction that sums four products of bytes.
enum class Int8Level { portable, avx2, avx512, vnni };

const char* int8_level_name(Int8Level level);

// The best that the processor has among those that belong to a SIMD level or a lower one.
Int8Level best_int8_level(SimdLevel level);

// Throws Error when the level is not built in or not supported here.
const Int8Kernels& int8_kernels(Int8Level level);

}  // namespace kvlab
