// coded_formats.hpp - chapter 6: more formats in which a cache may keep a row of numbers: the
// key or the value of one token in one KV head.
//
// ANCHOR: codes
//   format        bits of a number   beside them                       a number's value
//   f32 f16 bf16  32 16 16           -                                 itself
//   e4m3 e5m2     8                  -                                 itself (float8.hpp)
//   int8          8                  a float for the row               d * q
//   q8_0          8                  f16 d for each 32                 d * q
//   q4_0          4                  f16 d for each 32                 d * (q - 8)
//   q4_1          4                  f16 d, m for each 32              d * q + m
//   lloyd4 3 2    4 3 2              a float for the row               d * level[q]
//   turbo4 3 2    4 3 2              keys two floats, values one       sign_sketch.hpp
//   turbo4-mse .. 4 3 2              a float for the row               d * level[q]
//   kivi4 2       4 2                f16 d, m for each 32              d * q + m
// ANCHOR_END: codes
//
// TurboQuant (Zandieh et al. 2025): turbo rows are turned at random first. Keys have one bit
// less for the level and one for the sign sketch, as published; values, and keys of turbo-mse,
// have all bits for the level, which is how it is mostly run. lloyd is the codes alone: nothing
// is turned unless a cache is asked to.
//
// int8 has d = max|x| / 127, lloyd the row's root mean square. KIVI has the least number as m,
// and d = (largest - least) / (2^bits - 1). Of the codes the nearest is kept: of two whole
// numbers that are equally near the even one, of two levels the lower one. q8_0, q4_0 and q4_1
// are those of GGUF files (chapter weights).
//
// The blocks of 32 lie inside one head's row, but for KIVI's keys: there a block is one channel
// of 32 tokens, since outliers of keys sit in channels (KIVI, Liu et al. 2024).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <kvlab/kvcache/kv_format.hpp>
#include <kvlab/quant/lloyd_max.hpp>
#include <kvlab/quant/sign_sketch.hpp>

namespace kvlab {

namespace formats {

// What a code is multiplied with, [16]; of fewer codes it is repeated. Of lloyd: lloyd_max.hpp.
inline constexpr float kMinus8[16] = {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7};
inline constexpr float kDigits[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
inline constexpr float kDigits2[16] = {0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3};

inline constexpr KvFormat bf16{.name = "bf16", .bits = 16};
inline constexpr KvFormat e4m3{.name = "e4m3", .bits = 8};
inline constexpr KvFormat e5m2{.name = "e5m2", .bits = 8};
inline constexpr KvFormat q8_0{.name = "q8_0", .bits = 8, .scales = Scales::of_block};
inline constexpr KvFormat q4_0{
    .name = "q4_0", .bits = 4, .scales = Scales::of_block, .levels = kMinus8};
inline constexpr KvFormat q4_1{
    .name = "q4_1", .bits = 4, .scales = Scales::of_block, .offset = true, .levels = kDigits};
inline constexpr KvFormat lloyd4{
    .name = "lloyd4", .bits = 4, .scales = Scales::of_row, .levels = kLloyd4};
inline constexpr KvFormat lloyd3{
    .name = "lloyd3", .bits = 3, .scales = Scales::of_row, .levels = kLloyd3};
inline constexpr KvFormat lloyd2{
    .name = "lloyd2", .bits = 2, .scales = Scales::of_row, .levels = kLloyd2};
inline constexpr KvFormat turbo4_mse{.name = "turbo4-mse",
                                     .bits = 4,
                                     .scales = Scales::of_row,
                                     .levels = kLloyd4,
                                     .turned = true};
inline constexpr KvFormat turbo3_mse{.name = "turbo3-mse",
                                     .bits = 3,
                                     .scales = Scales::of_row,
                                     .levels = kLloyd3,
                                     .turned = true};
inline constexpr KvFormat turbo2_mse{.name = "turbo2-mse",
                                     .bits = 2,
                                     .scales = Scales::of_row,
                                     .levels = kLloyd2,
                                     .turned = true};
inline constexpr KvFormat turbo4{.name = "turbo4",
                                 .bits = 4,
                                 .scales = Scales::of_row,
                                 .levels = kLloyd3,
                                 .turned = true,
                                 .sketch = true,
                                 .values = &turbo4_mse};
inline constexpr KvFormat turbo3{.name = "turbo3",
                                 .bits = 3,
                                 .scales = Scales::of_row,
                                 .levels = kLloyd2,
                                 .turned = true,
                                 .sketch = true,
                                 .values = &turbo3_mse};
inline constexpr KvFormat turbo2{.name = "turbo2",
                                 .bits = 2,
                                 .scales = Scales::of_row,
                                 .levels = kLloyd1,
                                 .turned = true,
                                 .sketch = true,
                                 .values = &turbo2_mse};
inline constexpr KvFormat kivi4{.name = "kivi4",
                                .bits = 4,
                                .scales = Scales::of_block,
                                .offset = true,
                                .waits = true,
                                .levels = kDigits};
inline constexpr KvFormat kivi2{.name = "kivi2",
                                .bits = 2,
                                .scales = Scales::of_block,
                                .offset = true,
                                .waits = true,
                                .levels = kDigits2};

}  // namespace formats

// Of TurboQuant's random matrices, unless another one is asked for.
inline constexpr std::uint64_t kTurboSeed = 1;

// Chapter 3's three and these, in the order of the table above.
std::span<const Format> coded_formats();

// Throws Error, naming both, for rows of a length that the format cannot cut into blocks.
// KIVI's keys need no blocks inside a row.
void check_row_format(Format format, Index head_dim, bool keys);

// Formats without scales: one number to bits / 8 bytes and back. Throws Error for a number that
// is not finite, or too large for f16 or bf16; 8-bit floats saturate.
void store_plain(Format format, float value, std::byte* to);
float load_plain(Format format, const std::byte* from);

// A row of the other formats, taken apart.
struct CodedRow {
    static constexpr std::size_t kMost = 256;
    std::array<std::uint8_t, kMost> codes;  // int8, q8_0: two's complement
    // Of each block, or d[0] of the row, as kept; m[0]: turbo's length of what is left.
    std::array<float, kMost / kScaleBlock> d, m;
};

// row [D], of a length that check_row_format() allows for values. Throws Error for another, a
// number that is not finite, or a scale too large for its type. `sketch` is for formats that
// have one; null: that of kTurboSeed.
void encode_row(Format format,
                std::span<const float> row,
                CodedRow& coded,
                const SignSketch* sketch = nullptr);

// KIVI: 32 numbers, `stride` apart, of f16's range; d and m as kept (f16). d is the range over
// 2^bits - 1. Codes are taken from the rounded d, so a range too small for an f16 has only
// codes 0, which mean m.
void encode_group(
    Index bits, const float* x, Index stride, std::uint8_t* codes, float& d, float& m);

// The one defined value of a code; turbo's without what its sketch adds.
float decode_number(Format format, std::uint8_t q, float d, float m);

// What is left of a row once it was kept: the plain meaning of every format, for tests and for
// experiments. Of KIVI: as its values are kept; of turbo: as its keys are, turned already.
void round_trip(Format format, std::span<float> row, const SignSketch* sketch = nullptr);

}  // namespace kvlab
