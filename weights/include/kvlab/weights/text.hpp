// text.hpp - strings that come from a file: are they UTF-8, and how to show them in a message.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <kvlab/tensor/compiler.hpp>

namespace kvlab {

// The index of the first byte that is not part of well-formed UTF-8 (Unicode 15, table 3-7: no
// overlong forms, no surrogates, nothing above U+10FFFF), or npos if there is none.
std::size_t find_bad_utf8(std::string_view text);

// 'text' in single quotes, on one line whatever it holds: control characters, quotes,
// backslashes and bytes that are not UTF-8 become \xNN, and a long text is cut with "...".
std::string quote(std::string_view text, std::size_t longest = 64);

}  // namespace kvlab
