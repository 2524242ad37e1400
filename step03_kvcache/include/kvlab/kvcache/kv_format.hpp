// kv_format.hpp - chapter 3: the formats in which a cache may keep its numbers, each one row of
// a table.
//
// Bytes, names on a command line and names in tables and pictures all come from that row. This
// chapter has three formats; a later one may have a table of its own, with these in it.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include <kvlab/kvcache/kv_cache.hpp>

namespace kvlab {

// What stands beside the numbers of a row, the key or the value of one token in one KV head, so
// that they can be fewer bits.
enum class Scales {
    none,
    of_row,   // one float
    of_block  // one f16 for each 32 numbers
};

inline constexpr Index kScaleBlock = 32;  // numbers

struct KvFormat {
    const char* name;  // "q4_1"
    Index bits;        // of a number
    Scales scales = Scales::none;
    bool offset = false;  // a second one beside each scale: x = d * q + m
    bool waits = false;   // rows stay f16 until a group of tokens is full
    // [16] what a code is multiplied with, repeated if there are fewer; null if a code is a
    // whole number of 8 bits, or the number itself.
    const float* levels = nullptr;
    bool turned = false;  // rows are turned at random before they are kept
    // The highest bit of a code is no part of the level but a sign of what the level leaves,
    // and a second float beside the row says how long that is.
    bool sketch = false;
    const KvFormat* values = nullptr;  // what values are kept in, if not in this

    Index level_bits() const { return sketch ? bits - 1 : bits; }

    const KvFormat* of(bool keys) const { return keys || values == nullptr ? this : values; }

    // Of head_dim numbers and what stands beside them.
    Index row_bytes(Index head_dim) const;

    // One token's keys and values in all layers. Throws Error for a shape that cannot be.
    Index token_bytes(const KvShape& shape) const;
};

// A row of the table. Each format is one object, so that equal formats have one address.
using Format = const KvFormat*;

namespace formats {

inline constexpr KvFormat f32{.name = "f32", .bits = 32};
inline constexpr KvFormat f16{.name = "f16", .bits = 16};
inline constexpr KvFormat int8{.name = "int8", .bits = 8, .scales = Scales::of_row};

}  // namespace formats

// The formats of this chapter, f32 first.
std::span<const Format> kv_formats();

// Of a list of formats, for a command line and its refusals: "f32, f16, int8".
std::vector<std::string> format_names(std::span<const Format> formats);

// The one of these with that name. Throws Error, listing all, for another one.
Format find_kv_format(std::span<const Format> formats, const std::string& name);

// The rows of one of this chapter's formats. Throws Error for another one.
MakeRows rows_in(Format format);

// A cache in one of this chapter's formats.
std::unique_ptr<KvCache> make_cache(Format format,
                                    const KvShape& shape,
                                    Index capacity,
                                    SimdLevel level = default_simd_level());

}  // namespace kvlab
