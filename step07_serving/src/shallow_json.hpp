// shallow_json.hpp - chapter 7: JSON that comes from outside. A parser that keeps a list of
// what is open reads a million brackets within brackets, but whatever walks through the value
// afterwards (printing, comparing) calls itself once for each level, and the stack ends before
// the file does. So the depth is bounded while it is read.
#pragma once

#include <string_view>

#include <kvlab/tensor/error.hpp>

namespace kvlab {

inline constexpr int kDeepestJson = 16;  // lists and objects within each other

// Json: one of nlohmann's types. Throws Error for what is nested too deeply; for what is no
// JSON the library's own exception, or the result is_discarded(), as `throws` says.
template <class Json>
Json parse_shallow(std::string_view text, bool throws) {
    using Event = typename Json::parse_event_t;
    const auto shallow = [](int depth, Event event, Json&) {
        const bool opens = event == Event::object_start || event == Event::array_start;
        check(!opens || depth < kDeepestJson, "nested too deeply; at most ", kDeepestJson,
              " lists and objects may lie within each other");
        return true;
    };
    return Json::parse(text, shallow, throws);
}

}  // namespace kvlab
