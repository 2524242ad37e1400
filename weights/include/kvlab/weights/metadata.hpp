// metadata.hpp - what a model says about itself: keys with typed values, in the file's order.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <kvlab/tensor/tensor.hpp>

namespace kvlab {

// All value types of GGUF, in GGUF's order: index() is the type's number in a file.
// GGUF would allow an array of arrays (type 9 inside an array). Nobody writes one, llama.cpp
// reads none, and neither do we: that place is held by monostate.
using MetaArray = std::variant<std::vector<std::uint8_t>,
                               std::vector<std::int8_t>,
                               std::vector<std::uint16_t>,
                               std::vector<std::int16_t>,
                               std::vector<std::uint32_t>,
                               std::vector<std::int32_t>,
                               std::vector<float>,
                               std::vector<bool>,
                               std::vector<std::string>,
                               std::monostate,
                               std::vector<std::uint64_t>,
                               std::vector<std::int64_t>,
                               std::vector<double>>;
using MetaValue = std::variant<std::uint8_t,
                               std::int8_t,
                               std::uint16_t,
                               std::int16_t,
                               std::uint32_t,
                               std::int32_t,
                               float,
                               bool,
                               std::string,
                               MetaArray,
                               std::uint64_t,
                               std::int64_t,
                               double>;

// "u8", "i8", ... "array": the name of a value type by its number; "unknown" past the last.
const char* meta_type_name(std::size_t number);
// The number of elements of an array.
std::size_t array_size(const MetaArray& array);
// One line for messages and tables: "u32 5", "string 'llama'", "array of 3 string: 'a' ...".
std::string describe(const MetaValue& value);

// An ordered dictionary. Every getter throws Error when the key's value has another type or
// does not fit; the plain form also when the key is missing, the _or form returns `fallback`
// then. Messages begin with source(), the file's name. Copying copies everything.
class Metadata {
public:
    struct Entry {
        std::string key;
        MetaValue value;
    };

    explicit Metadata(std::string source = "metadata") : source_(std::move(source)) {}

    const std::string& source() const { return source_; }

    std::span<const Entry> entries() const { return entries_; }

    // Adds the key at the end, or replaces the value that it has.
    void set(std::string_view key, MetaValue value);
    // Nothing happens if the key is not there.
    void erase(std::string_view key);
    // nullptr if the key is not there. Valid until the next set() or erase().
    const MetaValue* find(std::string_view key) const;

    bool contains(std::string_view key) const { return find(key) != nullptr; }

    // Any of GGUF's integer types whose value fits.
    std::uint64_t get_u64(std::string_view key) const;
    std::uint64_t get_u64_or(std::string_view key, std::uint64_t fallback) const;
    // The same, for sizes: 0 ... 2^63 - 1.
    Index get_index(std::string_view key) const;
    Index get_index_or(std::string_view key, Index fallback) const;

    float get_f32(std::string_view key) const;
    float get_f32_or(std::string_view key, float fallback) const;
    bool get_bool(std::string_view key) const;
    bool get_bool_or(std::string_view key, bool fallback) const;
    const std::string& get_string(std::string_view key) const;
    std::string get_string_or(std::string_view key, std::string fallback) const;

    // Arrays. get_i32s takes any integer array whose values all fit.
    const std::vector<std::string>& get_strings(std::string_view key) const;
    std::vector<std::string> get_strings_or(std::string_view key,
                                            std::vector<std::string> fallback) const;
    std::vector<std::int32_t> get_i32s(std::string_view key) const;
    std::vector<std::int32_t> get_i32s_or(std::string_view key,
                                          std::vector<std::int32_t> fallback) const;
    const std::vector<float>& get_f32s(std::string_view key) const;
    std::vector<float> get_f32s_or(std::string_view key, std::vector<float> fallback) const;

private:
    const MetaValue& required(std::string_view key, const char* expected) const;
    [[noreturn]] void wrong_type(std::string_view key,
                                 const char* expected,
                                 const MetaValue& found) const;
    template <class T>
    const T& scalar(std::string_view key, const char* expected) const;
    template <class T>
    const std::vector<T>& array(std::string_view key, const char* expected) const;

    std::string source_;
    // index_ holds exactly the keys of entries_, each with its place.
    std::vector<Entry> entries_;
    std::map<std::string, std::size_t, std::less<>> index_;
};

}  // namespace kvlab
