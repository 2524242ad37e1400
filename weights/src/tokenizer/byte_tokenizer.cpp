#include <kvlab/weights/byte_tokenizer.hpp>

#include <kvlab/tensor/text.hpp>

namespace kvlab {

ByteTokenizer::ByteTokenizer(TokenizerData data) : Tokenizer(data) {
    check(data.tokens.size() == 256, source(), ": expected 256 byte tokens, got ",
          data.tokens.size());
    constexpr const char* kDigits = "0123456789ABCDEF";
    for (std::size_t b = 0; b < 256; ++b) {
        const TokenType found = data.types.empty() ? TokenType::normal : data.types[b];
        // llama.cpp looks a space up under the name that SentencePiece gives it, U+2581, and
        // not as a byte, so a file for both of us calls it so.
        const bool space = b == ' ' && data.tokens[b] == "\u2581";
        const std::string expected = concat("<0x", kDigits[b >> 4], kDigits[b & 15], ">");
        check(space || data.tokens[b] == expected, source(), ": token ", b, ": expected ",
              expected, ", got ", quote(data.tokens[b]));
        check(found == (space ? TokenType::normal : TokenType::byte), source(), ": token ", b,
              ": expected type ", space ? "1 (normal)" : "6 (byte)", ", got ",
              static_cast<std::int32_t>(found));
        pieces_[b] = std::string(1, static_cast<char>(b));
    }
}

void ByteTokenizer::encode_text(std::string_view text,
                                std::vector<Token>& tokens,
                                EncodeReport& /*report: every byte has a token*/) const {
    for (const char byte : text) tokens.push_back(static_cast<unsigned char>(byte));
}

}  // namespace kvlab
