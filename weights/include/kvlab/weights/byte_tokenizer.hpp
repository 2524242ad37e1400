// byte_tokenizer.hpp - the simplest vocabulary: 256 tokens, token b is the byte b.
//
// Nothing is lost and nothing is learned: every text is as many tokens as it has bytes. Byte 0
// is the BOS and the end of a text at once. It does not occur in text; if it does, it
// is that token.
#pragma once

#include <kvlab/weights/tokenizer.hpp>

namespace kvlab {

class ByteTokenizer final : public Tokenizer {
public:
    // Expects the tokens "<0x00>" ... "<0xFF>" in this order, all of type byte; token 32 may
    // also be U+2581 of type normal, SentencePiece's name of the space.
    explicit ByteTokenizer(TokenizerData data);

private:
    void encode_text(std::string_view text,
                     std::vector<Token>& tokens,
                     EncodeReport& report) const override;
};

}  // namespace kvlab
