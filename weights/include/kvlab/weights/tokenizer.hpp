// tokenizer.hpp - text to tokens and back.
//
//   "Hello world"  --encode-->  [19556, 905]  --decode-->  "Hello world"
//
// A token is an index into the vocabulary, which the model's file carries. Which of the two
// tokenizers reads it is the file's choice too: byte_tokenizer.hpp, bpe_tokenizer.hpp.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <kvlab/tensor/tensor.hpp>
#include <kvlab/weights/metadata.hpp>

namespace kvlab {

using Token = std::int32_t;
inline constexpr Token kNoToken = -1;

// What a token is for; the values are GGUF's (tokenizer.ggml.token_type).
enum class TokenType : std::int32_t {
    normal = 1,
    unknown = 2,
    control = 3,  // marks structure, as <|im_start|> does; never a part of what a user wrote
    user_defined = 4,  // a fixed piece of text that is always one token
    unused = 5,
    byte = 6,
};

// A vocabulary as it stands in a file, not yet checked.
struct TokenizerData {
    std::string source = "tokenizer";  // begins every message: the file's name
    std::string model;                 // "gpt2": byte-level BPE; "llama" with 256 bytes: bytes
    std::string pre;                   // name of the pre-tokenizer; "" is read as "gpt-2"
    std::vector<std::string> tokens;   // [V]
    std::vector<TokenType> types;      // [V], or empty: all normal
    std::vector<std::string> merges;   // "left right", the earlier the more urgent
    Token bos = kNoToken;
    Token eos = kNoToken;
    Token eot = kNoToken;
    bool add_bos = false;       // the model was trained with `bos` before every text
    std::string chat_template;  // Jinja source, see chat.hpp; empty: the model does not chat
};

// Takes the keys tokenizer.* out of a model's metadata. Throws Error for a missing key, a wrong
// type, or an index that is no Token; whether they fit together is the tokenizer's question.
TokenizerData read_tokenizer_data(const Metadata& metadata);

// What a user should know of these keys, a sentence each that names the file: what is missing,
// and what is taken instead.
std::vector<std::string> tokenizer_notes(const Metadata& metadata);

struct EncodeOptions {
    // Read the names of control tokens in the text as those tokens. Leave it off for anything
    // that a user wrote: "<|im_end|>" in a message must not end the message. (Tokens of type
    // user_defined are plain text, and are found either way.)
    bool parse_special = false;
    bool add_bos = false;
};

// What a text lost on its way into tokens: all zero means that decode() gives the text back.
struct EncodeReport {
    Index dropped_bytes = 0;  // bytes that the vocabulary has no token for: left out
    Index invalid_bytes = 0;  // bytes that were not UTF-8: U+FFFD stands in for them

    bool lossless() const { return dropped_bytes == 0 && invalid_bytes == 0; }
};

// Any number of threads may use one Tokenizer at a time.
class Tokenizer {
public:
    virtual ~Tokenizer() = default;
    Tokenizer(const Tokenizer&) = delete;
    Tokenizer& operator=(const Tokenizer&) = delete;

    // The tokens of a text. No text is refused: what cannot be written is counted in *report
    // (if given; the counts are added to those that stand there). Throws Error only for add_bos
    // without a bos().
    std::vector<Token> encode(std::string_view text,
                              EncodeOptions options = {},
                              EncodeReport* report = nullptr) const;

    // A stretch of text that holds no special token, or (text empty) one special token.
    struct Fragment {
        std::string_view text;
        Token token;
    };

    // What encode() cuts a text into first. User-defined tokens are always cut out, control
    // tokens if asked for.
    std::vector<Fragment> cut_out_specials(std::string_view text, bool parse_special) const;

    // The bytes that a token stands for: any bytes, not always whole characters (see
    // Utf8Stream). A control token's are its name. Throws Error unless 0 <=
    // token < vocab_size().
    std::string_view piece(Token token) const;

    // The pieces in a row.
    std::string decode(std::span<const Token> tokens) const;

    Index vocab_size() const { return std::ssize(pieces_); }

    Token bos() const { return bos_; }  // kNoToken if there is none

    Token eos() const { return eos_; }  // kNoToken if there is none

    bool wants_bos() const { return add_bos_; }  // the file asks for add_bos

    bool is_control(Token token) const;  // throws as piece() does

    // After this token there is nothing more to generate: the end of a text, a turn or a file.
    bool is_end(Token token) const;

    // The token whose piece is a control token of this name; kNoToken if there is none.
    Token find_control(std::string_view name) const;

    const std::string& chat_template() const { return chat_template_; }

    // How many of the 256 byte values no token can write.
    Index unwritable_bytes() const { return unwritable_bytes_; }

    const std::string& source() const { return source_; }

protected:
    // Checks what both kinds have in common: sizes, types, bos, eos, eot, empty and duplicate
    // tokens. The derived constructor fills pieces_.
    explicit Tokenizer(const TokenizerData& data);

    // Appends the tokens of a text without special tokens.
    virtual void encode_text(std::string_view text,
                             std::vector<Token>& tokens,
                             EncodeReport& report) const = 0;

    TokenType type(Token token) const { return at(types_, token); }

    // Set by the derived constructor.
    std::vector<std::string> pieces_;  // [V]
    Index unwritable_bytes_ = 0;

private:
    struct Special {
        std::string text;
        Token token;
    };

    void check_index(Token token, const char* what, bool optional) const;

    // Fixed at construction.
    std::string source_, chat_template_;
    std::vector<TokenType> types_;   // [V]
    std::vector<Special> specials_;  // longest first
    std::vector<Token> ends_;
    Token bos_, eos_;
    bool add_bos_;
};

// The tokenizer that the data describe. Throws Error, one line that names the source and the
// entry, if it is of a kind that kvlab does not know, or contradicts itself.
std::unique_ptr<const Tokenizer> make_tokenizer(TokenizerData data);
std::unique_ptr<const Tokenizer> make_tokenizer(const Metadata& metadata);

}  // namespace kvlab
