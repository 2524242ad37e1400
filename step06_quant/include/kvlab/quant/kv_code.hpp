// kv_code.hpp - chapter 6: the formats in which a cache may keep a row of numbers: the key or
// the value of one token in one KV head.
//
// ANCHOR: codes
//   code          bits of a number   beside them                       a number's value
//   f32 f16 bf16  32 16 16           -                                 itself
//   e4m3 e5m2     8                  -                                 itself (float8.hpp)
//   int8          8                  a float for the row               d * q
//   q8_0          8                  f16 d for each 32                 d * q
//   q4_0          4                  f16 d for each 32                 d * (q - 8)
//   q4_1          4                  f16 d, m for each 32              d * q + m
//   lloyd4 3 2    4 3 2              a float for the row               d * level[q]
//   kivi4 2       4 2                f16 d, m for each 32              d * q + m
// ANCHOR_END: codes
//
// d of int8: max|x| / 127. Of lloyd: the row's root mean square. KIVI: m the least, d =
// (largest
// - least) / (2^bits - 1). Codes are the nearest; of two whole numbers the even one, of two
// levels the lower one. q8_0, q4_0 and q4_1 as in GGUF files (chapter weights).
//
// The blocks of 32 lie inside one head's row, but for KIVI's keys: there a block is one channel
// of 32 tokens, since outliers of keys sit in channels (KIVI, Liu et al. 2024).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include <kvlab/tensor/tensor.hpp>

namespace kvlab {

enum class KvCode {
    f32,
    f16,
    bf16,
    e4m3,
    e5m2,
    int8,
    q8_0,
    q4_0,
    q4_1,
    lloyd4,
    lloyd3,
    lloyd2,
    kivi4,
    kivi2,
};

inline constexpr KvCode kKvCodes[] = {
    KvCode::f32,    KvCode::f16,    KvCode::bf16,  KvCode::e4m3, KvCode::e5m2,
    KvCode::int8,   KvCode::q8_0,   KvCode::q4_0,  KvCode::q4_1, KvCode::lloyd4,
    KvCode::lloyd3, KvCode::lloyd2, KvCode::kivi4, KvCode::kivi2};

inline constexpr Index kCodeBlock = 32;  // numbers, or for KIVI's keys tokens

const char* kv_code_name(KvCode code);          // "q4_0"
KvCode parse_kv_code(const std::string& name);  // Throws Error, listing all, for another name.

struct KvCodeTraits {
    Index bits;           // of a number
    bool plain;           // numbers on their own, without scales
    bool row_scale;       // one float for the row instead of an f16 for each block
    bool offset;          // m beside d
    bool groups;          // KIVI: what comes stays f16 for a while
    const float* levels;  // [16] what a code is multiplied with, repeated if it is shorter;
                          // null if it is a whole number of 8 bits
};

const KvCodeTraits& kv_code_traits(KvCode code);

// Bytes of a row, scales counted; of KIVI's keys the row's share of its group.
Index kv_row_bytes(KvCode code, Index head_dim);

// Throws Error, naming both, for rows of a length that the code cannot cut into blocks. KIVI's
// keys need no blocks inside a row.
void check_kv_code(KvCode code, Index head_dim, bool keys);

// Plain codes: one number to bytes / 8 bytes and back. Throws Error for a number that is not
// finite, or too large for f16 or bf16; 8-bit floats saturate.
void store_plain(KvCode code, float value, std::byte* to);
float load_plain(KvCode code, const std::byte* from);

// A row of the other codes, taken apart.
struct CodedRow {
    static constexpr std::size_t kMost = 256;
    std::array<std::uint8_t, kMost> codes;       // int8, q8_0: two's complement
    std::array<float, kMost / kCodeBlock> d, m;  // of each block, or d[0] of the row, as kept
};

// row [D], of a length that check_kv_code() allows for values. Throws Error for another, a
// number that is not finite, or a scale too large for its type.
void encode_row(KvCode code, std::span<const float> row, CodedRow& coded);

// KIVI: 32 numbers, `stride` apart, of f16's range; d and m as kept (f16). d is the range over
// 2^bits - 1. Codes are taken from the rounded d, so a range too small for an f16 has only
// codes 0, which mean m.
void encode_group(
    Index bits, const float* x, Index stride, std::uint8_t* codes, float& d, float& m);

// The one defined value of a code.
float decode_number(KvCode code, std::uint8_t q, float d, float m);

// What is left of a row once it was kept: the plain meaning of every format, for tests and for
// experiments. Of KIVI: as its values are kept.
void round_trip(KvCode code, std::span<float> row);

}  // namespace kvlab
