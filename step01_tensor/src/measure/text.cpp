#include <kvlab/tensor/text.hpp>

#include <algorithm>
#include <cstdint>
#include <iterator>

namespace kvlab {

namespace {

// Bytes of the well-formed UTF-8 sequence that starts at text[at]; 0 if there is none.
std::size_t sequence_length(std::string_view text, std::size_t at) {
    const auto byte = [&](std::size_t i) {
        return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
    };
    const unsigned lead = byte(at);
    if (lead < 0x80) return 1;
    if (lead < 0xc2 || lead > 0xf4) return 0;
    const std::size_t length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    // The second byte's range excludes overlong forms, surrogates and code points too large.
    const unsigned low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    const unsigned high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (byte(at + 1) < low || byte(at + 1) > high) return 0;
    for (std::size_t i = 2; i < length; ++i)
        if ((byte(at + i) & 0xc0) != 0x80) return 0;
    return length;
}

// The code point of the sequence of `length` bytes at text[at].
std::uint32_t code_at(std::string_view text, std::size_t at, std::size_t length) {
    const auto byte = [&](std::size_t i) {
        return static_cast<std::uint32_t>(static_cast<unsigned char>(text[at + i]));
    };
    static constexpr std::uint32_t lead_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    std::uint32_t code = byte(0) & lead_bits[length];
    for (std::size_t i = 1; i < length; ++i) code = code << 6 | (byte(i) & 0x3f);
    return code;
}

struct Range {
    std::uint32_t first, last;
};

// Controls, and the format characters (category Cf) and separators that are not seen.
constexpr Range kUnseen[] = {
    {0x00, 0x1f},        // C0
    {0x7f, 0x9f},        // DEL, C1
    {0xad, 0xad},        // soft hyphen
    {0x34f, 0x34f},      // grapheme joiner
    {0x61c, 0x61c},      // Arabic letter mark
    {0x115f, 0x1160},    // Hangul fillers
    {0x17b4, 0x17b5},    // Khmer inherent vowels
    {0x180b, 0x180f},    // Mongolian selectors and vowel separator
    {0x200b, 0x200f},    // zero width space, joiners, marks of direction
    {0x2028, 0x202e},    // separators of lines and paragraphs, embeddings and overrides
    {0x2060, 0x206f},    // word joiner, invisible operators, isolates, deprecated controls
    {0x3164, 0x3164},    // Hangul filler
    {0xfeff, 0xfeff},    // byte order mark
    {0xffa0, 0xffa0},    // Hangul filler
    {0xfff0, 0xfffb},    // interlinear annotation
    {0x1bca0, 0x1bca3},  // shorthand format controls
    {0x1d173, 0x1d17a},  // musical format controls
    {0xe0000, 0xe0fff},  // tags, more selectors
};

bool is_seen(std::uint32_t code, Keep keep) {
    constexpr std::uint32_t kNonJoiner = 0x200c, kJoiner = 0x200d;
    if (keep == Keep::lines &&
        (code == '\n' || code == '\t' || code == kNonJoiner || code == kJoiner))
        return true;
    return std::none_of(std::begin(kUnseen), std::end(kUnseen), [&](const Range& range) {
        return range.first <= code && code <= range.last;
    });
}

std::string hex(std::uint32_t number, int least_digits) {
    std::string text;
    for (; number > 0 || least_digits > 0; number >>= 4, --least_digits)
        text.insert(text.begin(), "0123456789abcdef"[number & 15]);
    return text;
}

// Appends the character at text[at] to `to`, or what stands for it; its length in bytes.
std::size_t append_printable(std::string_view text,
                             std::size_t at,
                             Keep keep,
                             std::string_view also_hidden,
                             std::string& to) {
    const std::size_t length = sequence_length(text, at);
    const auto byte = static_cast<unsigned char>(text[at]);
    if (length == 0) {
        to += "\\x" + hex(byte, 2);
        return 1;
    }
    const std::uint32_t code = code_at(text, at, length);
    if (is_seen(code, keep) && also_hidden.find(text[at]) == also_hidden.npos)
        to += text.substr(at, length);
    else if (code < 0x80)
        to += "\\x" + hex(code, 2);
    else
        to += "\\u{" + hex(code, 4) + "}";
    return length;
}

}  // namespace

std::size_t find_bad_utf8(std::string_view text) {
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t length = sequence_length(text, at);
        if (length == 0) return at;
        at += length;
    }
    return std::string_view::npos;
}

std::string printable(std::string_view text, Keep keep) {
    std::string result;
    for (std::size_t at = 0; at < text.size();)
        at += append_printable(text, at, keep, "", result);
    return result;
}

std::string quote(std::string_view text, std::size_t longest) {
    std::string result = "'";
    std::size_t at = 0;
    while (at < text.size() &&
           at + std::max<std::size_t>(1, sequence_length(text, at)) <= longest)
        at += append_printable(text, at, Keep::nothing, "'\\", result);
    return result + (at < text.size() ? "...'" : "'");
}

}  // namespace kvlab
