#include <kvlab/quant/coded_formats.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include <kvlab/kvcache/narrow_tiles.hpp>
#include <kvlab/tensor/float8.hpp>
#include <kvlab/tensor/half.hpp>
#include <kvlab/tensor/numerics.hpp>
#include <kvlab/weights/quantize.hpp>

namespace kvlab {

namespace {

// An f16 as a float, for scales. Throws Error when it would be infinite.
float to_half(Format format, float value) {
    const std::uint16_t half = f32_to_f16(value);
    check((half & 0x7c00u) != 0x7c00u, format->name, " cache: the f16 number ", value,
          " is too large (at most 65504)");
    return f16_to_f32(half);
}

void check_finite(Format format, std::span<const float> row) {
    if (all_finite(row)) return;
    for (const float x : row) check(is_finite(x), format->name, " cache: found ", x);
}

float largest_of(std::span<const float> row) {
    float largest = 0.0f;
    for (const float x : row) largest = std::max(largest, std::fabs(x));
    return largest;
}

}  // namespace

std::span<const Format> coded_formats() {
    using namespace formats;
    static constexpr Format kFormats[] = {
        &f32,    &f16,        &bf16,       &e4m3,       &e5m2,   &int8,   &q8_0,
        &q4_0,   &q4_1,       &lloyd4,     &lloyd3,     &lloyd2, &turbo4, &turbo3,
        &turbo2, &turbo4_mse, &turbo3_mse, &turbo2_mse, &kivi4,  &kivi2};
    return kFormats;
}

void check_row_format(Format format, Index head_dim, bool keys) {
    check(head_dim <= static_cast<Index>(CodedRow::kMost), format->name, ": a head_dim of ",
          head_dim, " is more than ", CodedRow::kMost);
    if (format->scales == Scales::none || (keys && format->waits)) return;
    // Codes of fewer than 8 bits share words.
    const Index unit = format->scales == Scales::of_block ? kScaleBlock
                       : format->bits == 8                ? 1
                                                          : 8;
    check(head_dim % unit == 0, format->name, ": a head_dim of ", head_dim,
          " is no multiple of ", unit);
    check(!format->turned || std::has_single_bit(usize(head_dim)), format->name,
          ": a head_dim of ", head_dim, " is no power of two");
}

void store_plain(Format format, float value, std::byte* to) {
    check(is_finite(value), format->name, " cache: found ", value);
    const auto put = [&](auto bits) { std::memcpy(to, &bits, sizeof bits); };
    if (format == &formats::f16) {
        const std::uint16_t half = f32_to_f16(value);
        check((half & 0x7c00u) != 0x7c00u, "f16 cache: ", value, " does not fit");
        return put(half);
    }
    if (format == &formats::bf16) {
        const std::uint16_t half = f32_to_bf16(value);
        check((half & 0x7f80u) != 0x7f80u, "bf16 cache: ", value, " does not fit");
        return put(half);
    }
    if (format == &formats::e4m3) return put(f32_to_e4m3(value));
    if (format == &formats::e5m2) return put(f32_to_e5m2(value));
    put(value);
}

float load_plain(Format format, const std::byte* from) {
    const auto get = [&](auto bits) {
        std::memcpy(&bits, from, sizeof bits);
        return bits;
    };
    if (format == &formats::f16) return f16_to_f32(get(std::uint16_t{}));
    if (format == &formats::bf16) return bf16_to_f32(get(std::uint16_t{}));
    if (format == &formats::e4m3) return e4m3_to_f32(get(std::uint8_t{}));
    if (format == &formats::e5m2) return e5m2_to_f32(get(std::uint8_t{}));
    return get(float{});
}

namespace {

// Chapter 3's rounding.
void encode_int8(std::span<const float> row, CodedRow& coded) {
    coded.d[0] = quantize_int8(row.data(), 1, std::ssize(row),
                               reinterpret_cast<std::int8_t*>(coded.codes.data()), 1);
}

// Between two, the lower one.
std::uint8_t nearest_level(Format format, float x) {
    const int count = 1 << format->level_bits();
    std::uint8_t q = 0;
    while (q + 1 < count && x > (format->levels[q] + format->levels[q + 1]) / 2) ++q;
    return q;
}

// ANCHOR: lloyd
// d is the row's root mean square. It is taken of x / max|x|, so that neither tiny nor huge
// numbers leave the range of a float when they are squared.
void encode_lloyd(Format format, std::span<const float> row, CodedRow& coded) {
    const Index count = Index{1} << format->level_bits();
    const float largest = largest_of(row);
    float shrunk[CodedRow::kMost] = {};
    for (std::size_t i = 0; i < row.size(); ++i)
        shrunk[i] = largest == 0.0f ? 0.0f : row[i] / largest;
    const auto n = std::ssize(row);
    const float rms = std::sqrt(dot(shrunk, shrunk, n) / static_cast<float>(n));
    coded.d[0] = rms * largest;
    check(is_finite(coded.d[0] * format->levels[count - 1]), format->name, " cache: ", largest,
          " does not fit");
    for (std::size_t i = 0; i < row.size(); ++i)
        coded.codes[i] = nearest_level(format, rms == 0.0f ? 0.0f : shrunk[i] / rms);
}

// ANCHOR_END: lloyd

// The bytes of ggml's blocks, taken apart: d (and m), then the codes. Of two codes in a byte
// the low one is number j, the high one number j + 16.
void encode_blocks(Format format, std::span<const float> row, CodedRow& coded) {
    const TensorType type = format == &formats::q8_0   ? TensorType::q8_0
                            : format == &formats::q4_0 ? TensorType::q4_0
                                                       : TensorType::q4_1;
    std::byte block[2 + 2 + kScaleBlock];
    const auto bytes = usize(block_bytes(type));
    for (std::size_t b = 0; b < row.size() / kScaleBlock; ++b) {
        quantize(type, row.subspan(b * kScaleBlock, kScaleBlock), {block, bytes});
        coded.d[b] = load_plain(&formats::f16, block);
        coded.m[b] = format == &formats::q4_1 ? load_plain(&formats::f16, block + 2) : 0.0f;
        const std::byte* const codes = block + (format == &formats::q4_1 ? 4 : 2);
        std::uint8_t* const to = coded.codes.data() + b * kScaleBlock;
        for (std::size_t j = 0; j < kScaleBlock; ++j)
            to[j] = format == &formats::q8_0 ? std::to_integer<std::uint8_t>(codes[j])
                    : j < 16 ? std::to_integer<std::uint8_t>(codes[j] & std::byte{15})
                             : std::to_integer<std::uint8_t>(codes[j - 16] >> 4);
    }
}

}  // namespace

// ANCHOR: kivi_group
void encode_group(
    Index bits, const float* x, Index stride, std::uint8_t* codes, float& d, float& m) {
    const Format format = bits == 2 ? &formats::kivi2 : &formats::kivi4;
    // SOLUTION-BEGIN 6.1
    const float most_code = static_cast<float>((1 << bits) - 1);
    float low = x[0], high = x[0];
    for (Index i = 1; i < kScaleBlock; ++i) {
        low = std::min(low, x[i * stride]);
        high = std::max(high, x[i * stride]);
    }
    m = to_half(format, low);
    d = to_half(format, (high - low) / most_code);
    for (Index i = 0; i < kScaleBlock; ++i) {
        // All equal, or nearly so: 0 / 0 in the authors' code.
        const float q = d == 0.0f ? 0.0f : std::nearbyint((x[i * stride] - m) / d);
        codes[i] = static_cast<std::uint8_t>(std::clamp(q, 0.0f, most_code));
    }
    // SOLUTION-END 6.1
}

// ANCHOR_END: kivi_group

void encode_row(Format format,
                std::span<const float> row,
                CodedRow& coded,
                const SignSketch* sketch) {
    check_row_format(format, std::ssize(row), false);
    check_finite(format, row);

    if (format->waits) {
        for (std::size_t b = 0; b < row.size() / kScaleBlock; ++b)
            encode_group(format->bits, row.data() + b * kScaleBlock, 1,
                         coded.codes.data() + b * kScaleBlock, coded.d[b], coded.m[b]);
    } else if (format == &formats::int8) {
        encode_int8(row, coded);
    } else if (format->scales == Scales::of_row) {
        encode_lloyd(format, row, coded);
        if (format->sketch && sketch != nullptr) sketch->encode(format, row, coded);
        if (format->sketch && sketch == nullptr)
            SignSketch(std::ssize(row), kTurboSeed).encode(format, row, coded);
    } else {
        encode_blocks(format, row, coded);
    }
}

float decode_number(Format format, std::uint8_t q, float d, float m) {
    const float level = format->levels == nullptr
                            ? static_cast<float>(static_cast<std::int8_t>(q))
                            : format->levels[q];
    return format->offset ? d * level + m : d * level;
}

void round_trip(Format format, std::span<float> row, const SignSketch* sketch) {
    if (format->scales == Scales::none) {
        std::byte bytes[sizeof(float)];
        for (float& x : row) {
            store_plain(format, x, bytes);
            x = load_plain(format, bytes);
        }
        return;
    }
    if (format->sketch && sketch == nullptr) {
        const SignSketch usual(std::ssize(row), kTurboSeed);
        return round_trip(format, row, &usual);
    }
    CodedRow coded;
    encode_row(format, row, coded, sketch);
    for (std::size_t i = 0; i < row.size(); ++i) {
        const std::size_t block = format->scales == Scales::of_row ? 0 : i / kScaleBlock;
        row[i] = decode_number(format, coded.codes[i], coded.d[block], coded.m[block]);
    }
    if (format->sketch) sketch->add(format, coded.codes.data(), coded.m[0], row.data(), 1);
}

}  // namespace kvlab
