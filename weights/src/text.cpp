#include <kvlab/weights/text.hpp>

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

}  // namespace

std::size_t find_bad_utf8(std::string_view text) {
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t length = sequence_length(text, at);
        if (length == 0) return at;
        at += length;
    }
    return std::string_view::npos;
}

std::string quote(std::string_view text, std::size_t longest) {
    static const char* const digits = "0123456789abcdef";
    std::string result = "'";
    std::size_t at = 0;
    while (at < text.size()) {
        const auto byte = static_cast<unsigned char>(text[at]);
        const std::size_t length = sequence_length(text, at);
        if (at + length > longest) break;
        if (length == 0 || byte < 0x20 || byte == 0x7f || byte == '\'' || byte == '\\') {
            result += {'\\', 'x', digits[byte >> 4], digits[byte & 15]};
            ++at;
        } else {
            result += text.substr(at, length);
            at += length;
        }
    }
    return result + (at < text.size() ? "...'" : "'");
}

}  // namespace kvlab
