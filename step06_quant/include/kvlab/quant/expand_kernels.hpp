// expand_kernels.hpp - chapter 6: codes of a tile back into floats, per SIMD level.
#pragma once

#include <cstddef>

#include <kvlab/tensor/compiler.hpp>

namespace kvlab {

using Index = std::ptrdiff_t;
enum class SimdLevel;

// A tile is 64 Dp numbers, in chunks of 16 that lie side by side. How codes of w bits lie:
//
//   8 bits   one byte each, in order
//   4, 2     16 words of 32 bits for each 32 / w chunks: lane l of chunk j is bits
//            [w j, w j + w) of word l
//   3        the lowest two bits of 32 chunks as above, then their highest bits in 16 words
//
// So one load of words gives 32 / w registers of numbers, and no lane ever moves.
struct Expansion {
    Index chunks;            // of 16 numbers, a multiple of 4 and of 32 / w; of 32 for 3 bits
    const std::byte* codes;  // 64-byte aligned
    const float* d;
    const float* m;       // null if nothing is added
    const float* levels;  // [16], null for whole numbers of 8 bits
    // Along: number i of chunk c has scale d[c >> shift]. Across: d[16 (c % 4) + i]: each of
    // the 64 columns has one.
    Index shift;
    // From a code to the one at its place in the next tile, which memory is asked for
    // meanwhile: tiles are too short for the processor to foresee all of them.
    Index ahead;
    float* out;
};

// Of each number: d * level[q], or fma(d, level[q], m). A product with an f16 scale is exact,
// so a multiplication and an addition would give the same bits.
using Expand = void(const Expansion& tile);

struct ExpandKernels {
    // By bits of a code: 8, 4, 3, 2; with d alone and with m.
    struct ByBits {
        Expand *eight, *four, *three, *two, *four_m, *two_m;
    };

    ByBits along, across;

    // So many chunks of numbers that need no scale, in whole lines of 64 bytes;
    // `ahead` as above.
    void (*f16)(Index chunks, const std::byte* from, Index ahead, float* out);
    void (*bf16)(Index chunks, const std::byte* from, Index ahead, float* out);
    void (*e4m3)(Index chunks, const std::byte* from, Index ahead, float* out);
    void (*e5m2)(Index chunks, const std::byte* from, Index ahead, float* out);
};

// The table of a level. Throws Error when the level is not built in or not supported here.
const ExpandKernels& expand_kernels(SimdLevel level);

}  // namespace kvlab
