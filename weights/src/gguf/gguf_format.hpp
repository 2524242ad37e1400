// gguf_format.hpp - what reader and writer have to agree on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include <kvlab/tensor/error.hpp>
#include <kvlab/tensor/tensor.hpp>
#include <kvlab/tensor/tensor_type.hpp>
#include <kvlab/tensor/text.hpp>
#include <kvlab/weights/metadata.hpp>

namespace kvlab::gguf {

inline constexpr std::string_view kMagic = "GGUF";
inline constexpr std::uint32_t kVersion = 3;
inline constexpr std::uint32_t kArrayType = 9;  // the value type number of an array
inline constexpr std::uint32_t kTypeCount = 13;
inline constexpr const char* kAlignmentKey = "general.alignment";
inline constexpr Index kDefaultAlignment = 32;
inline constexpr Index kLargestAlignment = 65536;
inline constexpr std::size_t kLongestKey = 65535;
inline constexpr std::size_t kLongestTensorName = 63;  // llama.cpp keeps 64 bytes with the end

inline Index align_up(Index offset, Index alignment) {
    return (offset + alignment - 1) / alignment * alignment;
}

// Each throws Error "<where>: ..." if the thing is not allowed in a file.
inline void check_utf8(std::string_view text, const std::string& where) {
    const std::size_t bad = find_bad_utf8(text);
    check(bad == std::string_view::npos, where, ": expected UTF-8, found ", quote(text),
          ", wrong at byte ", bad);
}

inline void check_name(std::string_view name, std::size_t longest, const std::string& where) {
    check(!name.empty() && name.size() <= longest, where, ": expected a length of 1 to ",
          longest, ", found ", name.size());
    check_utf8(name, where);
}

// What general.alignment says, or the default. Throws Error "<file>: ..." if it says nonsense.
inline Index alignment_of(const Metadata& metadata, const std::string& file) {
    const MetaValue* value = metadata.find(kAlignmentKey);
    if (!value) return kDefaultAlignment;
    const std::uint32_t* number = std::get_if<std::uint32_t>(value);
    const Index alignment = number ? static_cast<Index>(*number) : 0;
    check(
        alignment >= 8 && alignment <= kLargestAlignment && (alignment & (alignment - 1)) == 0,
        file, ": key '", kAlignmentKey, "': expected u32, a power of two from 8 to ",
        kLargestAlignment, ", found ", describe(*value));
    return alignment;
}

inline void check_row(TensorType type, Index row, const std::string& where) {
    check(row % block_elements(type) == 0, where, ": expected rows of a multiple of ",
          block_elements(type), " numbers for ", type_name(type), ", found rows of ", row);
}

}  // namespace kvlab::gguf
