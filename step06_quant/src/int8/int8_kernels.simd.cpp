// int8_kernels.simd.cpp - chapter 6: products of bytes. Compiled once per SIMD level, and once
// more for processors with VNNI.
#include <kvlab/quant/int8_kernels.hpp>
#include <kvlab/tensor/simd.hpp>

namespace kvlab::KVLAB_SIMD {

static float largest(const float* x, Index n) {
    Vec most = fill(0.0f);
    Index i = 0;
    for (; i + kLanes <= n; i += kLanes) {
        const Vec value = load(x + i);
        most = larger(most, larger(value, sub(fill(0.0f), value)));
    }
    float all = largest_lane(most);
    for (; i < n; ++i) {
        const float size = __builtin_fabsf(x[i]);
        all = size > all ? size : all;
    }
    return all;
}

KVLAB_INLINE Vec nearest(Vec x, float scale) {
    return smaller(larger(round_even(div(x, fill(scale))), fill(-127.0f)), fill(127.0f));
}

static std::int32_t codes(const float* x, Index n, float scale, std::int8_t* out) {
    if (scale == 0.0f) {
        for (Index i = 0; i < n; ++i) out[i] = 0;
        return 0;
    }
    // In pieces, so that the conversion to bytes is a loop that the compiler vectorises.
    constexpr Index kPiece = 256;
    float whole[kPiece] = {};
    std::int32_t sum = 0;
    for (Index begin = 0; begin < n; begin += kPiece) {
        const Index count = n - begin < kPiece ? n - begin : kPiece;
        Index i = 0;
        for (; i + kLanes <= count; i += kLanes)
            store(whole + i, nearest(load(x + begin + i), scale));
        if (i < count) {
            float rest[kLanes] = {};
            for (Index j = 0; i + j < count; ++j) rest[j] = x[begin + i + j];
            store(whole + i, nearest(load(rest), scale));
        }
        for (i = 0; i < count; ++i) {
            const auto code = static_cast<std::int32_t>(whole[i]);
            out[begin + i] = static_cast<std::int8_t>(code);
            sum += code;
        }
    }
    return sum;
}

#if defined(__AVX2__)
// A register of sums. Said to be of 32-bit lanes: as __m512i, whose lanes have 64, GCC 12 keeps
// an array of them in memory and not in registers.
#if defined(__AVX512F__)
using Sums = std::int32_t __attribute__((vector_size(64)));
#else
using Sums = std::int32_t __attribute__((vector_size(32)));
#endif
#endif

#if defined(__AVX512VNNI__)

// ANCHOR: vnni
KVLAB_INLINE Sums add_products(Sums acc, __m512i w, __m512i x) {
    return reinterpret_cast<Sums>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(acc), w, x));
}

KVLAB_INLINE int four_codes(const std::int8_t* x) {
    int codes = 0;
    __builtin_memcpy(&codes, x, 4);
    return codes;
}

// Four products summed into each of 16 lanes by one instruction; Rows x 4 registers of sums.
template <int Rows>
static void multiply_rows(Index groups,
                          const std::int8_t* x,
                          Index x_stride,
                          const std::int32_t* starts,
                          const std::uint8_t* panel,
                          std::int32_t* sums) {
    Sums acc[Rows][4];
    for (int r = 0; r < Rows; ++r)
        for (int v = 0; v < 4; ++v) acc[r][v] = Sums{} + starts[r];
    for (Index g = 0; g < groups; ++g) {
        __m512i w[4];
        for (int v = 0; v < 4; ++v) w[v] = _mm512_loadu_si512(panel + g * 256 + v * Index{64});
        for (int r = 0; r < Rows; ++r) {
            const __m512i four = _mm512_set1_epi32(four_codes(x + r * x_stride + g * 4));
            for (int v = 0; v < 4; ++v) acc[r][v] = add_products(acc[r][v], w[v], four);
        }
    }
    for (int r = 0; r < Rows; ++r)
        for (int v = 0; v < 4; ++v)
            __builtin_memcpy(sums + r * Index{64} + v * Index{16}, &acc[r][v], 64);
}

// ANCHOR_END: vnni

#elif defined(__AVX2__)

// ANCHOR: pairs
// Bytes widened to 16 bits, so that a sum of two products (at most 2 * 255 * 127) fits into the
// 32 bits it is made in. The instruction for bytes (PMADDUBSW) has 16 bits for it and cuts off
// what does not fit.
#if defined(__AVX512F__)
using Pairs = __m512i;

KVLAB_INLINE Pairs weights_of(const std::uint8_t* p) {
    return _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}

KVLAB_INLINE Pairs four_codes(const std::int8_t* x) {
    int codes = 0;
    __builtin_memcpy(&codes, x, 4);
    return _mm512_cvtepi8_epi16(_mm256_set1_epi32(codes));
}

KVLAB_INLINE Sums add_products(Sums acc, Pairs w, Pairs x) {
    return acc + reinterpret_cast<Sums>(_mm512_madd_epi16(w, x));
}
#else
using Pairs = __m256i;

KVLAB_INLINE Pairs weights_of(const std::uint8_t* p) {
    return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}

KVLAB_INLINE Pairs four_codes(const std::int8_t* x) {
    int codes = 0;
    __builtin_memcpy(&codes, x, 4);
    return _mm256_cvtepi8_epi16(_mm_set1_epi32(codes));
}

KVLAB_INLINE Sums add_products(Sums acc, Pairs w, Pairs x) {
    return acc + reinterpret_cast<Sums>(_mm256_madd_epi16(w, x));
}
#endif
// ANCHOR_END: pairs

// A lane holds one of an output's two pairs; the two meet at the end. Four registers of weights
// at a time, each for all rows.
template <int Rows>
static void multiply_rows(Index groups,
                          const std::int8_t* x,
                          Index x_stride,
                          const std::int32_t* starts,
                          const std::uint8_t* panel,
                          std::int32_t* sums) {
    constexpr int kColumns = Rows <= 2 ? 4 : 2;
    constexpr Index kOutputs = sizeof(Pairs) / 8;  // of one register
    for (Index c = 0; c < kInt8Panel; c += kColumns * kOutputs) {
        Sums acc[Rows][kColumns] = {};
        for (Index g = 0; g < groups; ++g) {
            Pairs w[kColumns];
            for (int v = 0; v < kColumns; ++v)
                w[v] = weights_of(panel + (g * kInt8Panel + c + v * kOutputs) * kInt8Group);
            for (int r = 0; r < Rows; ++r) {
                const Pairs four = four_codes(x + r * x_stride + g * kInt8Group);
                for (int v = 0; v < kColumns; ++v)
                    acc[r][v] = add_products(acc[r][v], w[v], four);
            }
        }
        for (int r = 0; r < Rows; ++r)
            for (int v = 0; v < kColumns; ++v) {
                std::int32_t pairs[2 * kOutputs];
                __builtin_memcpy(pairs, &acc[r][v], sizeof(pairs));
                for (Index o = 0; o < kOutputs; ++o)
                    sums[r * kInt8Panel + c + v * kOutputs + o] =
                        starts[r] + (pairs[2 * o] + pairs[2 * o + 1]);
            }
    }
}

#else

// The definition.
template <int Rows>
static void multiply_rows(Index groups,
                          const std::int8_t* x,
                          Index x_stride,
                          const std::int32_t* starts,
                          const std::uint8_t* panel,
                          std::int32_t* sums) {
    for (Index r = 0; r < Rows; ++r) {
        std::int32_t* const out = sums + r * kInt8Panel;
        for (Index c = 0; c < kInt8Panel; ++c) out[c] = starts[r];
        for (Index g = 0; g < groups; ++g) {
            const std::int8_t* const four = x + r * x_stride + g * kInt8Group;
            const std::uint8_t* const w = panel + g * kInt8Panel * kInt8Group;
            for (Index c = 0; c < kInt8Panel; ++c)
                out[c] += w[4 * c] * four[0] + w[4 * c + 1] * four[1] + w[4 * c + 2] * four[2] +
                          w[4 * c + 3] * four[3];
        }
    }
}

#endif

static constexpr decltype(&multiply_rows<1>) kMultiplyRows[] = {
    nullptr,          multiply_rows<1>, multiply_rows<2>, multiply_rows<3>,
    multiply_rows<4>, multiply_rows<5>, multiply_rows<6>};

static void multiply(Index rows,
                     Index groups,
                     const std::int8_t* x,
                     Index x_stride,
                     const std::int32_t* starts,
                     const std::uint8_t* panel,
                     std::int32_t* sums) {
    kMultiplyRows[rows](groups, x, x_stride, starts, panel, sums);
}

static void scale(
    Index width, float x_scale, const float* scales, const std::int32_t* sums, float* y) {
    for (Index c = 0; c < width; ++c)
        y[c] = (x_scale * scales[c]) * static_cast<float>(sums[c]);
}

static void add_outliers(Index width,
                         Index n,
                         const std::int32_t* inputs,
                         const float* x,
                         const std::uint8_t* panel,
                         const float* scales,
                         float* y) {
    constexpr Index kBlock = 64;  // of a sum: rule 2
    for (Index c = 0; c < width; ++c) {
        float total = 0.0f;
        for (Index begin = 0; begin < n; begin += kBlock) {
            const Index end = begin + kBlock < n ? begin + kBlock : n;
            float acc = 0.0f;
            for (Index i = begin; i < end; ++i) {
                const Index k = inputs[i];
                const int code =
                    panel[(k / kInt8Group * kInt8Panel + c) * kInt8Group + k % kInt8Group] -
                    128;
                acc = fma1(x[i], static_cast<float>(code), acc);
            }
            total = begin == 0 ? acc : total + acc;
        }
        y[c] = y[c] + scales[c] * total;
    }
}

extern const Int8Kernels kInt8Kernels;
const Int8Kernels kInt8Kernels = {largest, codes, multiply, scale, add_outliers};

}  // namespace kvlab::KVLAB_SIMD
