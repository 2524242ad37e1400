// tokenizer_fuzz.cpp - any text goes through the tokenizers of the small vocabulary and comes
// back as the contract says; any vocabulary is either refused in one line or works. Build and
// run it as gguf_fuzz.cpp says.
//
// The first byte of an input chooses: even, the rest is text; odd, the rest
// changes the vocabulary.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include <kvlab/weights/bpe_tokenizer.hpp>
#include <kvlab/weights/byte_tokenizer.hpp>
#include <kvlab/weights/chat.hpp>
#include <kvlab/weights/unicode.hpp>

#include "small_vocabulary.hpp"

namespace {

using namespace kvlab;

void require(bool ok) {
    if (!ok) std::abort();
}

// encode() by definition: each word by the plain merge loop.
std::vector<Token> plain_encode(const BpeTokenizer& tokenizer, const CodePoints& points) {
    std::vector<Token> tokens;
    std::size_t begin = 0;
    for (const Index word_end : split_words(points.codes, PreTokenizer::smollm)) {
        const auto end = static_cast<std::size_t>(at(points.starts, word_end));
        require(begin < end && end <= points.bytes.size());
        const std::string_view word = std::string_view(points.bytes).substr(begin, end - begin);
        const std::vector<Token> merged = tokenizer.merge_steps(word).back();
        for (const Token token : merged)
            if (token != kNoToken) tokens.push_back(token);
        begin = end;
    }
    require(begin == points.bytes.size());
    return tokens;
}

void check_text(const BpeTokenizer& tokenizer, std::string_view text) {
    const CodePoints points = read_code_points(text);
    std::string expected = points.bytes;
    const auto dropped = std::erase_if(expected, [](char byte) {
        const auto value = static_cast<unsigned char>(byte);
        return value == kUnwritable[0] || value == kUnwritable[1];
    });
    for (const bool special : {false, true}) {
        EncodeReport report;
        const std::vector<Token> tokens =
            tokenizer.encode(text, {.parse_special = special}, &report);
        require(tokenizer.decode(tokens) == expected);
        require(report.dropped_bytes == static_cast<Index>(dropped));
        require(report.invalid_bytes == points.invalid_bytes);
        for (const Token token : tokens) require(special || !tokenizer.is_control(token));
        const bool no_fixed_text = text.find("KV cache") == text.npos;
        if (!special && no_fixed_text && text.size() < 300)
            require(tokens == plain_encode(tokenizer, points));
    }
}

void check_bytes(const ByteTokenizer& tokenizer, std::string_view text) {
    require(tokenizer.decode(tokenizer.encode(text)) == text);
}

// Where the text is cut must not matter.
void check_stream(std::string_view text) {
    Utf8Stream whole, pieces;
    const std::string expected = whole.push(text) + whole.finish();
    std::string found;
    for (const char byte : text) found += pieces.push({&byte, 1});
    require(found + pieces.finish() == expected);
    require(read_code_points(expected).invalid_bytes == 0);
}

void check_chat(const BpeTokenizer& tokenizer, std::string_view text) {
    const ChatFormat chat(tokenizer);
    const ChatMessage message{"user", std::string(text)};
    const Token end = tokenizer.find_control("<|im_end|>");
    const std::vector<Token> tokens = chat.encode({&message, 1});
    require(std::count(tokens.begin(), tokens.end(), end) == 2);
}

// The input's lines replace tokens and merges of the small vocabulary: "t12=..." or "m3=...".
TokenizerData changed_data(std::string_view lines) {
    TokenizerData data = small_bpe_data();
    while (!lines.empty()) {
        const std::string_view line = lines.substr(0, lines.find('\n'));
        lines.remove_prefix(std::min(lines.size(), line.size() + 1));
        const auto equals = line.find('=');
        if (line.size() < 2 || equals == line.npos) continue;
        std::size_t number = 0;
        for (const char digit : line.substr(1, equals - 1))
            number = (number * 10 + static_cast<unsigned char>(digit)) % 1000;
        const std::string value(line.substr(equals + 1));
        if (line[0] == 't') data.tokens[number % data.tokens.size()] = value;
        if (line[0] == 'm') data.merges[number % data.merges.size()] = value;
        if (line[0] == 'y')
            data.types[number % data.types.size()] = static_cast<TokenType>(value.size());
        if (line[0] == 'b') data.bos = static_cast<Token>(number) - 2;
        if (line[0] == 'c') data.chat_template = value;
    }
    return data;
}

void check_vocabulary(std::string_view lines) {
    try {
        const auto tokenizer = make_tokenizer(changed_data(lines));
        tokenizer->decode(tokenizer->encode(lines, {.parse_special = true}));
        const ChatFormat chat(*tokenizer);
        chat.encode({});
    } catch (const Error& error) {
        const std::string message = error.what();
        require(message.starts_with("small: ") && message.find('\n') == std::string::npos);
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    static const BpeTokenizer bpe(small_bpe_data());
    static const ByteTokenizer bytes(byte_data());
    const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
    if (data[0] % 2 == 1) {
        check_vocabulary(text);
        return 0;
    }
    check_text(bpe, text);
    check_bytes(bytes, text);
    check_stream(text);
    check_chat(bpe, text);
    return 0;
}
