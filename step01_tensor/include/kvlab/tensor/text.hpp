// text.hpp - chapter 1: strings that somebody else wrote: are they UTF-8, and how to show them
// on a terminal or in a message.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <kvlab/tensor/compiler.hpp>

namespace kvlab {

// The index of the first byte that is not part of well-formed UTF-8 (Unicode 15, table 3-7: no
// overlong forms, no surrogates, nothing above U+10FFFF), or npos if there is none.
std::size_t find_bad_utf8(std::string_view text);

// What of a text may reach a terminal as it is, beside what can be seen: nothing, or what a
// text that runs over lines needs, newlines, tabs and the joiners of words and emoji.
enum class Keep { nothing, lines };

// The text as a terminal may show it. A terminal obeys what it cannot show: controls (C0, DEL
// and C1: U+0080 to U+009F) move its cursor or change its title, marks of direction reorder a
// line, invisible characters make two names look alike. Names, keys and tokens of a file, and
// the text that a model generates, go through here. Such characters become \xNN or \u{NNNN},
// bytes that are not UTF-8 \xNN.
std::string printable(std::string_view text, Keep keep = Keep::nothing);

// 'text' in single quotes, on one line whatever it holds: printable, with quotes and
// backslashes as \xNN as well, and a long text is cut with "...".
std::string quote(std::string_view text, std::size_t longest = 64);

}  // namespace kvlab
