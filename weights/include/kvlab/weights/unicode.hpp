// unicode.hpp - code points: UTF-8 in and out, and the classes that a pre-tokenizer asks for.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <kvlab/tensor/tensor.hpp>

namespace kvlab {

// What stands in for bytes that are not UTF-8.
inline constexpr char32_t kReplacement = U'\uFFFD';

// Appends the code point as UTF-8, 1 to 4 bytes. Throws Error above U+10FFFF.
void append_utf8(std::string& text, char32_t code);

// A text as the tokenizer sees it: its code points, and where each begins in `bytes`.
struct CodePoints {
    std::string bytes;            // the text again, cleaned: what the tokens will spell
    std::vector<char32_t> codes;  // [n]
    std::vector<Index> starts;    // [n + 1], starts[n] == bytes.size()
    Index invalid_bytes = 0;      // bytes of the input that `bytes` does not repeat
};

// Reads UTF-8 exactly as forgivingly as llama.cpp, so that both see the same code points:
//   - a byte that begins no sequence, and the first byte of a sequence that breaks off, become
//     U+FFFD, and reading goes on with the next byte;
//   - overlong forms are accepted and rewritten in their shortest form;
//   - surrogates (ED A0 80 ... ED BF BF) are accepted and kept.
// One thing differs: a sequence above U+10FFFF ends llama.cpp's process with an exception; here
// its bytes become U+FFFD one by one.
CodePoints read_code_points(std::string_view text);

enum class CharClass : std::uint8_t { other, letter, number, space };

// letter and number are the general categories L* and N*, space is the property White_Space.
// Everything else, unassigned code points too, is other. The table's version: kUnicodeVersion.
CharClass char_class(char32_t code);

extern const char* const kUnicodeVersion;

// Turns pieces of UTF-8, cut anywhere, into whole characters: text can be shown while it is
// being generated, although one character may be several tokens.
class Utf8Stream {
public:
    // Returns what is complete by now, and holds back the beginning of a character. The result
    // is well-formed UTF-8 whatever goes in: each maximal ill-formed part becomes one U+FFFD.
    std::string push(std::string_view bytes);

    // Ends the stream: U+FFFD if a character was left incomplete, "" otherwise.
    std::string finish();

private:
    std::string held_;  // a proper prefix of one well-formed character, 0 to 3 bytes
};

}  // namespace kvlab
