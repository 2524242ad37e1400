#include <kvlab/quant/kv_code.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>

#include <kvlab/quant/lloyd_max.hpp>
#include <kvlab/tensor/float8.hpp>
#include <kvlab/tensor/half.hpp>
#include <kvlab/tensor/numerics.hpp>
#include <kvlab/weights/quantize.hpp>

namespace kvlab {

namespace {

constexpr float kMinus8[16] = {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7};
constexpr float kDigits[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
constexpr float kDigits2[16] = {0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3};

struct Entry {
    const char* name;
    KvCodeTraits traits;
};

// In the order of KvCode.
constexpr Entry kEntries[] = {
    {"f32", {32, true, false, false, false, nullptr}},
    {"f16", {16, true, false, false, false, nullptr}},
    {"bf16", {16, true, false, false, false, nullptr}},
    {"e4m3", {8, true, false, false, false, nullptr}},
    {"e5m2", {8, true, false, false, false, nullptr}},
    {"int8", {8, false, true, false, false, nullptr}},
    {"q8_0", {8, false, false, false, false, nullptr}},
    {"q4_0", {4, false, false, false, false, kMinus8}},
    {"q4_1", {4, false, false, true, false, kDigits}},
    {"lloyd4", {4, false, true, false, false, kLloyd4}},
    {"lloyd3", {3, false, true, false, false, kLloyd3}},
    {"lloyd2", {2, false, true, false, false, kLloyd2}},
    {"kivi4", {4, false, false, true, true, kDigits}},
    {"kivi2", {2, false, false, true, true, kDigits2}},
};

const Entry& entry(KvCode code) {
    return kEntries[static_cast<std::size_t>(code)];
}

// An f16 as a float, for scales. Throws Error when it would be infinite.
float to_half(KvCode code, float value) {
    const std::uint16_t half = f32_to_f16(value);
    check((half & 0x7c00u) != 0x7c00u, kv_code_name(code), " cache: the f16 number ", value,
          " is too large (at most 65504)");
    return f16_to_f32(half);
}

void check_finite(KvCode code, std::span<const float> row) {
    if (all_finite(row)) return;
    for (const float x : row) check(is_finite(x), kv_code_name(code), " cache: found ", x);
}

float largest_of(std::span<const float> row) {
    float largest = 0.0f;
    for (const float x : row) largest = std::max(largest, std::fabs(x));
    return largest;
}

}  // namespace

const char* kv_code_name(KvCode code) {
    return entry(code).name;
}

const KvCodeTraits& kv_code_traits(KvCode code) {
    return entry(code).traits;
}

KvCode parse_kv_code(const std::string& name) {
    std::string all;
    for (const KvCode code : kKvCodes) {
        if (name == kv_code_name(code)) return code;
        all += concat(all.empty() ? "" : ", ", kv_code_name(code));
    }
    throw Error(concat("'", name, "' is no format of a cache; they are ", all));
}

Index kv_row_bytes(KvCode code, Index head_dim) {
    const KvCodeTraits& traits = kv_code_traits(code);
    const Index numbers = head_dim * traits.bits / 8;
    if (traits.plain) return numbers;
    if (traits.row_scale) return numbers + Index{sizeof(float)};
    return numbers + head_dim / kCodeBlock * (traits.offset ? 4 : 2);
}

void check_kv_code(KvCode code, Index head_dim, bool keys) {
    const KvCodeTraits& traits = kv_code_traits(code);
    check(head_dim <= static_cast<Index>(CodedRow::kMost), kv_code_name(code),
          ": a head_dim of ", head_dim, " is more than ", CodedRow::kMost);
    if (traits.plain || (keys && traits.groups)) return;
    const Index unit = code == KvCode::int8 ? 1 : traits.row_scale ? 8 : kCodeBlock;
    check(head_dim % unit == 0, kv_code_name(code), ": a head_dim of ", head_dim,
          " is no multiple of ", unit);
}

void store_plain(KvCode code, float value, std::byte* to) {
    check(is_finite(value), kv_code_name(code), " cache: found ", value);
    const auto put = [&](auto bits) { std::memcpy(to, &bits, sizeof bits); };
    switch (code) {
        case KvCode::f16: {
            const std::uint16_t half = f32_to_f16(value);
            check((half & 0x7c00u) != 0x7c00u, "f16 cache: ", value, " does not fit");
            return put(half);
        }
        case KvCode::bf16: {
            const std::uint16_t half = f32_to_bf16(value);
            check((half & 0x7f80u) != 0x7f80u, "bf16 cache: ", value, " does not fit");
            return put(half);
        }
        case KvCode::e4m3:
            return put(f32_to_e4m3(value));
        case KvCode::e5m2:
            return put(f32_to_e5m2(value));
        default:
            return put(value);
    }
}

float load_plain(KvCode code, const std::byte* from) {
    const auto get = [&](auto bits) {
        std::memcpy(&bits, from, sizeof bits);
        return bits;
    };
    switch (code) {
        case KvCode::f16:
            return f16_to_f32(get(std::uint16_t{}));
        case KvCode::bf16:
            return bf16_to_f32(get(std::uint16_t{}));
        case KvCode::e4m3:
            return e4m3_to_f32(get(std::uint8_t{}));
        case KvCode::e5m2:
            return e5m2_to_f32(get(std::uint8_t{}));
        default:
            return get(float{});
    }
}

namespace {

// A byte for each number and one float for all: d = max|x| / 127, ties to even. In f16 the
// scale would underflow for |x| < 1e-5.
void encode_int8(std::span<const float> row, CodedRow& coded) {
    float d = largest_of(row) / 127.0f;
    // Rounded up, the scale of the very largest float would come back as infinity.
    if (!is_finite(d * 127.0f)) d = std::nextafter(d, 0.0f);
    coded.d[0] = d;
    for (std::size_t i = 0; i < row.size(); ++i) {
        const float q = d == 0.0f ? 0.0f : std::nearbyint(row[i] / d);
        coded.codes[i] =
            static_cast<std::uint8_t>(static_cast<std::int8_t>(std::clamp(q, -127.0f, 127.0f)));
    }
}

// ANCHOR: lloyd
// d is the row's root mean square. It is taken of x / max|x|, so that neither tiny nor huge
// numbers leave the range of a float when they are squared.
void encode_lloyd(KvCode code, std::span<const float> row, CodedRow& coded) {
    const KvCodeTraits& traits = kv_code_traits(code);
    const Index count = Index{1} << traits.bits;
    const float largest = largest_of(row);
    float shrunk[CodedRow::kMost];
    for (std::size_t i = 0; i < row.size(); ++i)
        shrunk[i] = largest == 0.0f ? 0.0f : row[i] / largest;
    const auto n = static_cast<Index>(row.size());
    const float rms = std::sqrt(dot(shrunk, shrunk, n) / static_cast<float>(n));
    coded.d[0] = rms * largest;
    check(is_finite(coded.d[0] * traits.levels[count - 1]), kv_code_name(code),
          " cache: ", largest, " does not fit");
    for (std::size_t i = 0; i < row.size(); ++i) {
        std::uint8_t q = 0;
        // The nearest level; between two, the lower one.
        const float x = rms == 0.0f ? 0.0f : shrunk[i] / rms;
        while (q + 1 < count && x > (traits.levels[q] + traits.levels[q + 1]) / 2) ++q;
        coded.codes[i] = q;
    }
}

// ANCHOR_END: lloyd

// The bytes of ggml's blocks, taken apart: d (and m), then the codes. Of two codes in a byte
// the low one is number j, the high one number j + 16.
void encode_blocks(KvCode code, std::span<const float> row, CodedRow& coded) {
    const TensorType type = code == KvCode::q8_0   ? TensorType::q8_0
                            : code == KvCode::q4_0 ? TensorType::q4_0
                                                   : TensorType::q4_1;
    std::byte block[2 + 2 + kCodeBlock];
    const auto bytes = static_cast<std::size_t>(block_bytes(type));
    for (std::size_t b = 0; b < row.size() / kCodeBlock; ++b) {
        quantize(type, row.subspan(b * kCodeBlock, kCodeBlock), {block, bytes});
        coded.d[b] = load_plain(KvCode::f16, block);
        coded.m[b] = code == KvCode::q4_1 ? load_plain(KvCode::f16, block + 2) : 0.0f;
        const std::byte* const codes = block + (code == KvCode::q4_1 ? 4 : 2);
        std::uint8_t* const to = coded.codes.data() + b * kCodeBlock;
        for (std::size_t j = 0; j < kCodeBlock; ++j)
            to[j] = code == KvCode::q8_0 ? std::to_integer<std::uint8_t>(codes[j])
                    : j < 16 ? std::to_integer<std::uint8_t>(codes[j] & std::byte{15})
                             : std::to_integer<std::uint8_t>(codes[j - 16] >> 4);
    }
}

}  // namespace

// ANCHOR: kivi_group
void encode_group(
    Index bits, const float* x, Index stride, std::uint8_t* codes, float& d, float& m) {
    const KvCode code = bits == 2 ? KvCode::kivi2 : KvCode::kivi4;
    const float most_code = static_cast<float>((1 << bits) - 1);
    float low = x[0], high = x[0];
    for (Index i = 1; i < kCodeBlock; ++i) {
        low = std::min(low, x[i * stride]);
        high = std::max(high, x[i * stride]);
    }
    m = to_half(code, low);
    d = to_half(code, (high - low) / most_code);
    for (Index i = 0; i < kCodeBlock; ++i) {
        // All equal, or nearly so: 0 / 0 in the authors' code.
        const float q = d == 0.0f ? 0.0f : std::nearbyint((x[i * stride] - m) / d);
        codes[i] = static_cast<std::uint8_t>(std::clamp(q, 0.0f, most_code));
    }
}

// ANCHOR_END: kivi_group

void encode_row(KvCode code, std::span<const float> row, CodedRow& coded) {
    check_kv_code(code, static_cast<Index>(row.size()), false);
    check_finite(code, row);
    const KvCodeTraits& traits = kv_code_traits(code);
    if (traits.groups) {
        for (std::size_t b = 0; b < row.size() / kCodeBlock; ++b)
            encode_group(traits.bits, row.data() + b * kCodeBlock, 1,
                         coded.codes.data() + b * kCodeBlock, coded.d[b], coded.m[b]);
    } else if (code == KvCode::int8) {
        encode_int8(row, coded);
    } else if (traits.row_scale) {
        encode_lloyd(code, row, coded);
    } else {
        encode_blocks(code, row, coded);
    }
}

float decode_number(KvCode code, std::uint8_t q, float d, float m) {
    const KvCodeTraits& traits = kv_code_traits(code);
    const float level = traits.levels == nullptr
                            ? static_cast<float>(static_cast<std::int8_t>(q))
                            : traits.levels[q];
    return traits.offset ? d * level + m : d * level;
}

void round_trip(KvCode code, std::span<float> row) {
    const KvCodeTraits& traits = kv_code_traits(code);
    if (traits.plain) {
        std::byte bytes[sizeof(float)];
        for (float& x : row) {
            store_plain(code, x, bytes);
            x = load_plain(code, bytes);
        }
        return;
    }
    CodedRow coded;
    encode_row(code, row, coded);
    for (std::size_t i = 0; i < row.size(); ++i) {
        const std::size_t block = traits.row_scale ? 0 : i / kCodeBlock;
        row[i] = decode_number(code, coded.codes[i], coded.d[block], coded.m[block]);
    }
}

}  // namespace kvlab
