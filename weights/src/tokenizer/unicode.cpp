#include <kvlab/weights/unicode.hpp>

#include <algorithm>
#include <iterator>
#include <utility>

namespace kvlab {

namespace {

#include "unicode_table.inc"

unsigned byte_at(std::string_view text, std::size_t i) {
    return static_cast<unsigned char>(text[i]);
}

bool is_continuation(unsigned byte) {
    return (byte & 0xc0) == 0x80;
}

// The length that a first byte promises, 0 if it can begin nothing. F8 and above never could.
std::size_t promised_length(unsigned first) {
    if (first < 0x80) return 1;
    if (first < 0xc0) return 0;
    if (first < 0xe0) return 2;
    if (first < 0xf0) return 3;
    return first < 0xf8 ? 4 : 0;
}

std::size_t shortest_length(char32_t code) {
    return code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
}

struct Reading {
    char32_t code = kReplacement;
    std::size_t length = 1;
    bool kept = false;  // false: the bytes will not come out as they went in
};

Reading read_one(std::string_view text, std::size_t at) {
    const unsigned first = byte_at(text, at);
    const std::size_t length = promised_length(first);
    if (length == 0 || length > text.size() - at) return {};
    constexpr unsigned kFirstBits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    char32_t code = first & kFirstBits[length];
    for (std::size_t i = 1; i < length; ++i) {
        const unsigned next = byte_at(text, at + i);
        if (!is_continuation(next)) return {};
        code = code << 6 | (next & 0x3f);
    }
    if (code > 0x10ffff) return {};
    return {code, length, shortest_length(code) == length};
}

}  // namespace

const char* const kUnicodeVersion = KVLAB_UNICODE_VERSION;

void append_utf8(std::string& text, char32_t code) {
    check(code <= 0x10ffff, "append_utf8: expected at most 0x10ffff, got ",
          std::uint32_t{code});
    const auto put = [&](char32_t byte) { text.push_back(static_cast<char>(byte)); };
    if (code < 0x80) {
        put(code);
    } else if (code < 0x800) {
        put(0xc0 | code >> 6);
        put(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        put(0xe0 | code >> 12);
        put(0x80 | (code >> 6 & 0x3f));
        put(0x80 | (code & 0x3f));
    } else {
        put(0xf0 | code >> 18);
        put(0x80 | (code >> 12 & 0x3f));
        put(0x80 | (code >> 6 & 0x3f));
        put(0x80 | (code & 0x3f));
    }
}

CodePoints read_code_points(std::string_view text) {
    CodePoints result;
    result.bytes.reserve(text.size());
    result.codes.reserve(text.size());
    result.starts.reserve(text.size() + 1);
    for (std::size_t at = 0; at < text.size();) {
        const Reading one = read_one(text, at);
        if (!one.kept) result.invalid_bytes += static_cast<Index>(one.length);
        result.codes.push_back(one.code);
        result.starts.push_back(std::ssize(result.bytes));
        append_utf8(result.bytes, one.code);
        at += one.length;
    }
    result.starts.push_back(std::ssize(result.bytes));
    return result;
}

CharClass char_class(char32_t code) {
    const auto after =
        std::upper_bound(std::begin(kRanges), std::end(kRanges), std::uint32_t{code} << 2 | 3u);
    return static_cast<CharClass>(*(after - 1) & 3);
}

namespace {

// Which second bytes a first byte allows (Unicode 15, table 3-7): the overlong forms, the
// surrogates and everything above U+10FFFF are excluded here.
bool second_allowed(unsigned first, unsigned second) {
    const unsigned low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    const unsigned high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    return low <= second && second <= high;
}

// How many bytes from `at` are the beginning of a well-formed character, and how many it needs.
struct Progress {
    std::size_t have, need;  // have <= need; need == 0: no character begins with this byte
};

Progress progress(std::string_view text, std::size_t at) {
    const unsigned first = byte_at(text, at);
    if (first == 0xc0 || first == 0xc1 || first > 0xf4) return {0, 0};
    const std::size_t need = promised_length(first);
    std::size_t have = need == 0 ? 0 : 1;
    while (have < need && at + have < text.size()) {
        const unsigned next = byte_at(text, at + have);
        if (have == 1 ? !second_allowed(first, next) : !is_continuation(next)) break;
        ++have;
    }
    return {have, need};
}

}  // namespace

std::string Utf8Stream::push(std::string_view bytes) {
    const std::string text = std::exchange(held_, {}).append(bytes);
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
        const auto [have, need] = progress(text, at);
        if (have == need && need > 0) {
            out.append(text, at, need);
        } else if (have > 0 && at + have == text.size()) {
            held_ = text.substr(at);
        } else {
            append_utf8(out, kReplacement);
        }
        at += std::max<std::size_t>(have, 1);
    }
    return out;
}

std::string Utf8Stream::finish() {
    std::string out;
    if (!std::exchange(held_, {}).empty()) append_utf8(out, kReplacement);
    return out;
}

}  // namespace kvlab
