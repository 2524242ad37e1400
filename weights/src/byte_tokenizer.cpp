#include <kvlab/weights/byte_tokenizer.hpp>

#include <kvlab/weights/text.hpp>

namespace kvlab {

namespace {

constexpr std::string_view kSpace = "\xe2\x96\x81";  // U+2581

}  // namespace

ByteTokenizer::ByteTokenizer(TokenizerData data) : Tokenizer(data) {
    check(data.tokens.size() == 256, source(), ": expected 256 byte tokens, got ",
          data.tokens.size());
    constexpr const char* kDigits = "0123456789ABCDEF";
    for (std::size_t b = 0; b < 256; ++b) {
        const TokenType kind = type(static_cast<Token>(b));
        const bool is_space = b == ' ' && data.tokens[b] == kSpace && kind == TokenType::normal;
        const std::string expected = concat("<0x", kDigits[b >> 4], kDigits[b & 15], ">");
        if (!is_space && (data.tokens[b] != expected || kind != TokenType::byte))
            throw Error(concat(source(), ": token ", b, ": expected ", expected,
                               " of type 6 (byte), got ", quote(data.tokens[b]), " of type ",
                               static_cast<std::int32_t>(kind)));
        pieces_[b] = std::string(1, static_cast<char>(b));
    }
}

void ByteTokenizer::encode_text(std::string_view text,
                                std::vector<Token>& tokens,
                                EncodeReport& /*report: every byte has a token*/) const {
    for (const char byte : text) tokens.push_back(static_cast<unsigned char>(byte));
}

}  // namespace kvlab
