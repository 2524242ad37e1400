// small_vocabulary.hpp - a byte-level BPE vocabulary by hand, small enough to know by heart.
#pragma once

#include <string>
#include <vector>

#include <kvlab/weights/tokenizer.hpp>
#include <kvlab/weights/unicode.hpp>

namespace kvlab {

// The character that stands for a byte in a vocabulary, as GPT-2 defines it.
inline std::string letter_of(unsigned byte) {
    const auto printable = [](unsigned b) {
        return (0x21 <= b && b <= 0x7e) || (0xa1 <= b && b <= 0xac) || b >= 0xae;
    };
    char32_t code = byte;
    if (!printable(byte)) {
        code = 0x100;
        for (unsigned b = 0; b < byte; ++b) code += printable(b) ? 0 : 1;
    }
    std::string text;
    append_utf8(text, code);
    return text;
}

inline std::string letters_of(std::string_view bytes) {
    std::string text;
    for (const char byte : bytes) text += letter_of(static_cast<unsigned char>(byte));
    return text;
}

// These bytes have no token; the others are the tokens 0 ... 253 in order.
inline constexpr unsigned kUnwritable[] = {0x04, 0xf5};

inline constexpr const char* kSmallTemplate =
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nBe brief.<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + "
    "message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if "
    "add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

inline TokenizerData small_bpe_data() {
    TokenizerData data;
    data.source = "small";
    data.model = "gpt2";
    data.pre = "smollm";
    for (unsigned byte = 0; byte < 256; ++byte)
        if (byte != kUnwritable[0] && byte != kUnwritable[1])
            data.tokens.push_back(letter_of(byte));
    const std::vector<std::pair<std::string, std::string>> merges = {
        {"l", "o"},  {"lo", "w"},      {"e", "r"},  {" ", "low"}, {"n", "e"},
        {"ne", "w"}, {"e", "s"},       {"es", "t"}, {"a", "a"},   {"aa", "aa"},
        {"w", "e"},  {"\xc3", "\xa9"}, {" ", " "},  {"'", "s"},   {"1", "2"}};
    for (const auto& [left, right] : merges) {
        data.tokens.push_back(letters_of(left + right));
        data.merges.push_back(letters_of(left) + " " + letters_of(right));
    }
    data.types.assign(data.tokens.size(), TokenType::normal);
    for (const char* name : {"<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im_end|>!"}) {
        data.tokens.push_back(name);
        data.types.push_back(TokenType::control);
    }
    data.tokens.push_back("KV cache");
    data.types.push_back(TokenType::user_defined);
    data.bos = static_cast<Token>(data.tokens.size() - 4);  // <|im_start|>
    data.eos = static_cast<Token>(data.tokens.size() - 3);  // <|im_end|>
    data.chat_template = kSmallTemplate;
    return data;
}

inline TokenizerData byte_data() {
    TokenizerData data;
    data.source = "bytes";
    data.model = "llama";
    for (int byte = 0; byte < 256; ++byte)
        data.tokens.push_back(
            concat("<0x", "0123456789ABCDEF"[byte / 16], "0123456789ABCDEF"[byte % 16], ">"));
    data.types.assign(256, TokenType::byte);
    data.bos = data.eos = 0;
    data.add_bos = true;
    return data;
}

}  // namespace kvlab
