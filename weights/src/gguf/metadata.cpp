#include <kvlab/weights/metadata.hpp>

#include <limits>
#include <optional>
#include <type_traits>
#include <utility>

#include <kvlab/tensor/text.hpp>

namespace kvlab {

namespace {

constexpr const char* kTypeNames[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                      "bool", "string", "array", "u64", "i64", "f64"};

template <class T>
constexpr bool is_integer = std::is_integral_v<T> && !std::is_same_v<T, bool>;

// The value as a Wanted, if it is an integer of any type that fits.
template <class Wanted>
std::optional<Wanted> as_integer(const MetaValue& value) {
    return std::visit(
        [](const auto& found) -> std::optional<Wanted> {
            using Found = std::decay_t<decltype(found)>;
            if constexpr (is_integer<Found>)
                if (std::in_range<Wanted>(found)) return static_cast<Wanted>(found);
            return std::nullopt;
        },
        value);
}

template <class T>
std::string show(const T& value) {
    if constexpr (std::is_same_v<T, std::string>)
        return quote(value, 40);
    else if constexpr (std::is_same_v<T, bool>)
        return value ? "true" : "false";
    else if constexpr (std::is_integral_v<T>)
        return std::to_string(value);  // so that a u8 is not printed as a character
    else
        return concat(value);
}

std::string show_array(const MetaArray& array) {
    std::string text = concat("array of ", array_size(array), ' ', kTypeNames[array.index()]);
    std::visit(
        [&](const auto& elements) {
            using Found = std::decay_t<decltype(elements)>;
            if constexpr (!std::is_same_v<Found, std::monostate>) {
                for (std::size_t i = 0; i < elements.size() && i < 4; ++i)
                    text +=
                        (i == 0 ? ": " : " ") + show<typename Found::value_type>(elements[i]);
                if (elements.size() > 4) text += " ...";
            }
        },
        array);
    return text;
}

}  // namespace

const char* meta_type_name(std::size_t number) {
    return number < std::size(kTypeNames) ? kTypeNames[number] : "unknown";
}

std::size_t array_size(const MetaArray& array) {
    return std::visit(
        [](const auto& elements) -> std::size_t {
            if constexpr (std::is_same_v<std::decay_t<decltype(elements)>, std::monostate>)
                return 0;
            else
                return elements.size();
        },
        array);
}

std::string describe(const MetaValue& value) {
    if (const auto* array = std::get_if<MetaArray>(&value)) return show_array(*array);
    return std::visit(
        [&](const auto& scalar) -> std::string {
            if constexpr (std::is_same_v<std::decay_t<decltype(scalar)>, MetaArray>)
                return {};
            else
                return concat(kTypeNames[value.index()], ' ', show(scalar));
        },
        value);
}

void Metadata::set(std::string_view key, MetaValue value) {
    const auto place = index_.find(key);
    if (place != index_.end()) {
        entries_[place->second].value = std::move(value);
        return;
    }
    index_.emplace(key, entries_.size());
    entries_.push_back({std::string(key), std::move(value)});
}

void Metadata::erase(std::string_view key) {
    const auto place = index_.find(key);
    if (place == index_.end()) return;
    const std::size_t removed = place->second;
    entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(removed));
    index_.erase(place);
    for (auto& [other, at] : index_)
        if (at > removed) --at;
}

const MetaValue* Metadata::find(std::string_view key) const {
    const auto place = index_.find(key);
    return place == index_.end() ? nullptr : &entries_[place->second].value;
}

const MetaValue& Metadata::required(std::string_view key, const char* expected) const {
    const MetaValue* value = find(key);
    check(value != nullptr, source_, ": key ", quote(key), ": expected ", expected,
          ", found no such key");
    return *value;
}

void Metadata::wrong_type(std::string_view key,
                          const char* expected,
                          const MetaValue& found) const {
    throw Error(concat(source_, ": key ", quote(key), ": expected ", expected, ", found ",
                       describe(found)));
}

template <class T>
const T& Metadata::scalar(std::string_view key, const char* expected) const {
    const MetaValue& value = required(key, expected);
    const T* found = std::get_if<T>(&value);
    if (!found) wrong_type(key, expected, value);
    return *found;
}

template <class T>
const std::vector<T>& Metadata::array(std::string_view key, const char* expected) const {
    const MetaValue& value = required(key, expected);
    const auto* any = std::get_if<MetaArray>(&value);
    const auto* found = any ? std::get_if<std::vector<T>>(any) : nullptr;
    if (!found) wrong_type(key, expected, value);
    return *found;
}

std::uint64_t Metadata::get_u64(std::string_view key) const {
    constexpr const char* expected = "an integer, 0 or more";
    const MetaValue& value = required(key, expected);
    const auto fits = as_integer<std::uint64_t>(value);
    if (!fits) wrong_type(key, expected, value);
    return *fits;
}

Index Metadata::get_index(std::string_view key) const {
    constexpr const char* expected = "an integer from 0 to 2^63 - 1";
    const MetaValue& value = required(key, expected);
    const auto fits = as_integer<Index>(value);
    if (!fits || *fits < 0) wrong_type(key, expected, value);
    return *fits;
}

float Metadata::get_f32(std::string_view key) const {
    return scalar<float>(key, "an f32");
}

bool Metadata::get_bool(std::string_view key) const {
    return scalar<bool>(key, "a bool");
}

const std::string& Metadata::get_string(std::string_view key) const {
    return scalar<std::string>(key, "a string");
}

const std::vector<std::string>& Metadata::get_strings(std::string_view key) const {
    return array<std::string>(key, "an array of string");
}

const std::vector<float>& Metadata::get_f32s(std::string_view key) const {
    return array<float>(key, "an array of f32");
}

std::vector<std::int32_t> Metadata::get_i32s(std::string_view key) const {
    constexpr const char* expected = "an array of integers that fit in 32 bits";
    const MetaValue& value = required(key, expected);
    const auto* any = std::get_if<MetaArray>(&value);
    if (!any) wrong_type(key, expected, value);
    return std::visit(
        [&](const auto& elements) -> std::vector<std::int32_t> {
            using Found = std::decay_t<decltype(elements)>;
            std::vector<std::int32_t> result;
            if constexpr (!std::is_same_v<Found, std::monostate>) {
                if constexpr (is_integer<typename Found::value_type>) {
                    for (const auto element : elements) {
                        if (!std::in_range<std::int32_t>(element))
                            wrong_type(key, expected, value);
                        result.push_back(static_cast<std::int32_t>(element));
                    }
                    return result;
                }
            }
            wrong_type(key, expected, value);
        },
        *any);
}

std::uint64_t Metadata::get_u64_or(std::string_view key, std::uint64_t fallback) const {
    return contains(key) ? get_u64(key) : fallback;
}

Index Metadata::get_index_or(std::string_view key, Index fallback) const {
    return contains(key) ? get_index(key) : fallback;
}

float Metadata::get_f32_or(std::string_view key, float fallback) const {
    return contains(key) ? get_f32(key) : fallback;
}

bool Metadata::get_bool_or(std::string_view key, bool fallback) const {
    return contains(key) ? get_bool(key) : fallback;
}

std::string Metadata::get_string_or(std::string_view key, std::string fallback) const {
    if (!contains(key)) return fallback;
    return get_string(key);
}

std::vector<std::string> Metadata::get_strings_or(std::string_view key,
                                                  std::vector<std::string> fallback) const {
    if (!contains(key)) return fallback;
    return get_strings(key);
}

std::vector<std::int32_t> Metadata::get_i32s_or(std::string_view key,
                                                std::vector<std::int32_t> fallback) const {
    if (!contains(key)) return fallback;
    return get_i32s(key);
}

std::vector<float> Metadata::get_f32s_or(std::string_view key,
                                         std::vector<float> fallback) const {
    if (!contains(key)) return fallback;
    return get_f32s(key);
}

}  // namespace kvlab
