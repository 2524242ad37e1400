// expand.simd.cpp - chapter 6: codes of a tile back into floats. Compiled once per SIMD level.
#include <kvlab/quant/expand_kernels.hpp>
#include <kvlab/tensor/simd_codes.hpp>

namespace kvlab::KVLAB_SIMD {

namespace {

// Each way of lying calls use(c, j, lane, numbers) for every register of numbers of chunk
// c + j, where j is known to the compiler and c a multiple of a power of two beyond any j. For
// every cache line of codes it asks the memory for the same line of the next tile.

KVLAB_INLINE void ask(const std::byte* line) {
    __builtin_prefetch(line, 0, 2);
}

struct Bytes {
    template <class Use>
    KVLAB_INLINE void each(const Expansion& tile, Use use) {
        const std::byte* codes = tile.codes;
        for (Index c = 0; c < tile.chunks; c += 4, codes += 64) {
            ask(codes + tile.ahead);
#pragma GCC unroll 4
            for (int j = 0; j < 4; ++j)
                for (Index l = 0; l < 16; l += kLanes)
                    use(c, j, l, load_i8(codes + j * Index{16} + l));
        }
    }
};

// ANCHOR: packed
template <int Bits>
struct Packed {
    template <class Use>
    KVLAB_INLINE void each(const Expansion& tile, Use use) {
        constexpr int kCodes = 32 / Bits;  // of a word
        const Table levels = load_table(tile.levels);
        const std::byte* words = tile.codes;
        for (Index c = 0; c < tile.chunks; c += kCodes, words += 64) {
            ask(words + tile.ahead);
            for (Index l = 0; l < 16; l += kLanes) {
                const Words many = load_words(words + l * 4);
#pragma GCC unroll 16
                for (int j = 0; j < kCodes; ++j)
                    use(c, j, l, look_up(shift_right(many, Bits * j), levels));
            }
        }
    }
};

// ANCHOR_END: packed

struct Threes {
    template <class Use>
    KVLAB_INLINE void each(const Expansion& tile, Use use) {
        const Table levels = load_table(tile.levels);
        const std::byte* words = tile.codes;
        for (Index c = 0; c < tile.chunks; c += 32, words += Index{3} * 64) {
            for (Index line = 0; line < 3; ++line) ask(words + line * 64 + tile.ahead);
            for (Index l = 0; l < 16; l += kLanes) {
                const Words high = load_words(words + 128 + l * 4);
                for (int half = 0; half < 2; ++half) {
                    const Words low = load_words(words + half * Index{64} + l * 4);
#pragma GCC unroll 16
                    for (int j = 0; j < 16; ++j) {
                        const Words top = shift_left(shift_right(high, half * 16 + j), 2);
                        const Words code = either(masked(shift_right(low, 2 * j), 3), top);
                        use(c + half * Index{16}, j, l, look_up(code, levels));
                    }
                }
            }
        }
    }
};

// Tiles are taken by value: for all the compiler knows, storing a number could change one that
// is referred to, and it would read every pointer again.
template <class Codes, bool Offset>
KVLAB_INLINE void along_by(const Expansion tile, Index shift) {
    Codes::each(tile, [&](Index c, int j, Index l, Vec q) {
        const Index scale = (c >> shift) + (j >> shift);  // c + j carries nothing
        const Vec d = fill(tile.d[scale]);
        store(tile.out + (c + j) * 16 + l, Offset ? fma(d, q, fill(tile.m[scale])) : mul(d, q));
    });
}

template <class Codes, bool Offset>
void along(const Expansion& tile) {
    if (tile.shift == 1)  // blocks of 32: all places of scales are constants
        along_by<Codes, Offset>(tile, 1);
    else
        along_by<Codes, Offset>(tile, tile.shift);
}

template <class Codes, bool Offset>
void across(const Expansion& given) {
    constexpr Index kParts = 16 / kLanes;
    const Expansion tile = given;
    Vec d[4 * kParts], m[4 * kParts];
    for (Index i = 0; i < 4 * kParts; ++i) {
        d[i] = load(tile.d + i * kLanes);
        if (Offset) m[i] = load(tile.m + i * kLanes);
    }
    Codes::each(tile, [&](Index c, int j, Index l, Vec q) {
        const Index i = j % 4 * kParts + l / kLanes;
        store(tile.out + (c + j) * 16 + l, Offset ? fma(d[i], q, m[i]) : mul(d[i], q));
    });
}

template <Vec (*Load)(const std::byte*), Index Bytes>
void plain(Index chunks, const std::byte* from, Index ahead, float* out) {
    constexpr Index kLine = 64 / Bytes;  // numbers
    for (Index i = 0; i < chunks * 16; i += kLine) {
        ask(from + i * Bytes + ahead);
#pragma GCC unroll 4
        for (Index l = i; l < i + kLine; l += kLanes) store(out + l, Load(from + l * Bytes));
    }
}

}  // namespace

extern const ExpandKernels kExpandKernels;
const ExpandKernels kExpandKernels = {
    {along<Bytes, false>, along<Packed<4>, false>, along<Threes, false>,
     along<Packed<2>, false>, along<Packed<4>, true>, along<Packed<2>, true>},
    {across<Bytes, false>, across<Packed<4>, false>, across<Threes, false>,
     across<Packed<2>, false>, across<Packed<4>, true>, across<Packed<2>, true>},
    plain<load_f16, 2>,
    plain<load_bf16, 2>,
    plain<load_e4m3, 1>,
    plain<load_e5m2, 1>};

}  // namespace kvlab::KVLAB_SIMD
