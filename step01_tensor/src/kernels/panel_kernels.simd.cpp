// panel_kernels.simd.cpp - chapter 1: weights in fewer bytes than four, expanded in registers.
// Compiled once per SIMD level.
//
// A format says how 32 inputs of one panel lie in memory (packed_matrix.hpp draws them) and how
// a register of weights is made of them. What is done with the weights is the same for all:
// multiplied for one row, or written out as floats for many rows. d * q has at most 19 bits, so
// it is exact, and d * q + m is rounded once: an fma gives what dequantize() gives. So it is in
// Q4_K, where d * sc * q has at most 21 bits.
#include <kvlab/tensor/simd.hpp>
#include <kvlab/tensor/tensor_kernels.hpp>

namespace kvlab::KVLAB_SIMD {

namespace {

inline constexpr Index kGroup = 32;  // inputs per group of a panel
inline constexpr int kVecs = 4;      // registers at a time: a whole panel with AVX-512
inline constexpr Index kPart = kVecs * kLanes;  // columns at a time
inline constexpr Index kScales = kPanel * 2;    // bytes of one f16 per column

// Each format's weights(n, panel, g, c, use) calls use(k, v, weights) for k < n inputs of group
// g of the panel and v < kVecs registers of columns, from column c on. kBytes are those
// of one group.

template <Vec (*Load)(const std::byte*)>
struct Halves {
    static constexpr Index kBytes = kGroup * kPanel * 2;

    template <class Use>
    KVLAB_INLINE void weights(Index n, const std::byte* panel, Index g, Index c, Use use) {
        const std::byte* halves = panel + g * kBytes + c * 2;
        for (Index k = 0; k < n; ++k)
            for (int v = 0; v < kVecs; ++v)
                use(k, v, Load(halves + (k * kPanel + v * kLanes) * 2));
    }
};

struct Q80 {
    static constexpr Index kBytes = kScales + kGroup * kPanel;

    template <class Use>
    KVLAB_INLINE void weights(Index n, const std::byte* panel, Index g, Index c, Use use) {
        const std::byte* group = panel + g * kBytes;
        Vec d[kVecs];
        for (int v = 0; v < kVecs; ++v) d[v] = load_f16(group + (c + v * kLanes) * 2);
        const std::byte* codes = group + kScales + c;
        for (Index k = 0; k < n; ++k)
            for (int v = 0; v < kVecs; ++v)
                use(k, v, mul(d[v], load_i8(codes + k * kPanel + v * kLanes)));
    }
};

// A word of 32 bits holds eight inputs of one column, the first in the lowest bits.
template <class Use>
KVLAB_INLINE void for_nibbles(const std::byte* words, Use use) {
    for (Index k = 0; k < kGroup; k += 8) {
        Words eight[kVecs];
        for (int v = 0; v < kVecs; ++v)
            eight[v] = load_words(words + (k / 8 * kPanel + v * kLanes) * 4);
#pragma GCC unroll 8
        for (int j = 0; j < 8; ++j)
            for (int v = 0; v < kVecs; ++v) use(k + j, v, nibble(eight[v], j));
    }
}

struct Q40 {
    static constexpr Index kBytes = kScales + kGroup * kPanel / 2;

    template <class Use>
    KVLAB_INLINE void weights(Index, const std::byte* panel, Index g, Index c, Use use) {
        const std::byte* group = panel + g * kBytes;
        Vec d[kVecs];
        for (int v = 0; v < kVecs; ++v) d[v] = load_f16(group + (c + v * kLanes) * 2);
        for_nibbles(group + kScales + c * 4,
                    [&](Index k, int v, Vec q) { use(k, v, mul(d[v], sub(q, fill(8.0f)))); });
    }
};

// ANCHOR: q4_1
struct Q41 {
    static constexpr Index kBytes = 2 * kScales + kGroup * kPanel / 2;

    template <class Use>
    KVLAB_INLINE void weights(Index, const std::byte* panel, Index g, Index c, Use use) {
        const std::byte* group = panel + g * kBytes;
        Vec d[kVecs], m[kVecs];
        for (int v = 0; v < kVecs; ++v) {
            d[v] = load_f16(group + (c + v * kLanes) * 2);
            m[v] = load_f16(group + kScales + (c + v * kLanes) * 2);
        }
        for_nibbles(group + 2 * kScales + c * 4,
                    [&](Index k, int v, Vec q) { use(k, v, fma(d[v], q, m[v])); });
    }
};

// ANCHOR_END: q4_1

// ANCHOR: q4_k
// Eight groups of 32 inputs share a header: d, dmin and three words of scales per column. Group
// j's 6-bit numbers lie in byte j of a word, or, for j >= 4, in two pieces (tensor_type.hpp).
struct Q4K {
    static constexpr Index kBytes = kGroup * kPanel * 144 / 256;
    static constexpr Index kGroups = 8;
    static constexpr Index kHeader = 2 * kScales + 3 * kPanel * 4;

    KVLAB_INLINE Vec six_bits(const std::byte* whole,
                              const std::byte* low,
                              int shift,
                              Index j) {
        const int at = static_cast<int>(j % 4) * 8;
        if (j < 4) return bits(load_words(whole), at, 63);
        return fma(bits(load_words(whole), at + 6, 3), fill(16.0f),
                   bits(load_words(low), at + shift, 15));
    }

    template <class Use>
    KVLAB_INLINE void weights(Index, const std::byte* panel, Index g, Index c, Use use) {
        const Index j = g % kGroups;
        const std::byte* block = panel + (g - j) * kBytes;
        Vec d[kVecs], m[kVecs];
        for (int v = 0; v < kVecs; ++v) {
            const Index column = c + v * kLanes;
            const std::byte* words = block + 2 * kScales + column * 4;
            const std::byte* low = words + 2 * kPanel * 4;
            d[v] = mul(load_f16(block + column * 2), six_bits(words, low, 0, j));
            // -(dmin * m), with the sign of a zero as well.
            m[v] = mul(load_f16(block + kScales + column * 2),
                       mul(six_bits(words + kPanel * 4, low, 4, j), fill(-1.0f)));
        }
        for_nibbles(block + kHeader + j * kGroup * kPanel / 2 + c * 4,
                    [&](Index k, int v, Vec q) { use(k, v, fma(d[v], q, m[v])); });
    }
};

// ANCHOR_END: q4_k

Index smaller_of(Index a, Index b) {
    return a < b ? a : b;
}

// Where the hardware should be reading while a group is being used: far enough for the memory,
// near enough not to be driven out of the cache before its turn.
inline constexpr Index kAhead = 8192;

template <class Format, Source From>
void multiply_from(Index panels, Index depth, const float* x, const std::byte* b, float* y) {
    const Index groups = (depth + kGroup - 1) / kGroup;
    // The last group of a plain format may be short.
    const Index panel_bytes = depth * (Format::kBytes / kGroup);
    for (Index p = 0; p < panels; ++p, b += panel_bytes, y += kPanel)
        for (Index c = 0; c < kPanel; c += kPart) {
            Vec total[kVecs] = {};
            for (Index g = 0; g < groups; g += 2) {  // two groups are one block of the sum
                Vec acc[kVecs];
                for (int v = 0; v < kVecs; ++v) acc[v] = fill(0.0f);
                for (Index i = g; i < smaller_of(g + 2, groups); ++i) {
                    const std::byte* group = b + i * Format::kBytes;
                    const float* in = x + i * kGroup;
                    Format::weights(smaller_of(kGroup, depth - i * kGroup), b, i, c,
                                    [&](Index k, int v, Vec w) {
                                        if (From == Source::memory && v == 0)
                                            __builtin_prefetch(group + kAhead +
                                                               k * (Format::kBytes / kGroup));
                                        acc[v] = fma(fill(in[k]), w, acc[v]);
                                    });
                }
                for (int v = 0; v < kVecs; ++v)
                    total[v] = g == 0 ? acc[v] : add(total[v], acc[v]);
            }
            for (int v = 0; v < kVecs; ++v) store(y + c + v * kLanes, total[v]);
        }
}

template <class Format>
void multiply(
    Index panels, Index depth, const float* x, const std::byte* b, float* y, Source source) {
    if (source == Source::memory)
        multiply_from<Format, Source::memory>(panels, depth, x, b, y);
    else
        multiply_from<Format, Source::cache>(panels, depth, x, b, y);
}

template <class Format>
void expand(Index first, Index depth, const std::byte* panel, float* out) {
    for (Index k = 0; k < depth; k += kGroup, out += kGroup * kPanel)
        for (Index c = 0; c < kPanel; c += kPart)
            Format::weights(
                smaller_of(kGroup, depth - k), panel, (first + k) / kGroup, c,
                [&](Index i, int v, Vec w) { store(out + i * kPanel + c + v * kLanes, w); });
}

template <class Format>
inline constexpr PanelKernels kKernels = {multiply<Format>, expand<Format>};

}  // namespace

extern const PanelKernels kF16, kBf16, kQ8_0, kQ4_0, kQ4_1, kQ4_K;
const PanelKernels kF16 = kKernels<Halves<load_f16>>, kBf16 = kKernels<Halves<load_bf16>>,
                   kQ8_0 = kKernels<Q80>, kQ4_0 = kKernels<Q40>, kQ4_1 = kKernels<Q41>,
                   kQ4_K = kKernels<Q4K>;

}  // namespace kvlab::KVLAB_SIMD
