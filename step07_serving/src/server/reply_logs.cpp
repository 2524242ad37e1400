#include "reply_logs.hpp"

#include <kvlab/tensor/text.hpp>

namespace kvlab::api {

namespace {

OrderedJson chat_token(const Tokenizer& tokenizer, const LikelyToken& likely) {
    OrderedJson json;
    json["token"] = token_text(tokenizer, likely.token);
    json["logprob"] = likely.logprob;
    OrderedJson bytes = OrderedJson::array();
    for (const char byte : tokenizer.piece(likely.token))
        bytes.push_back(static_cast<unsigned char>(byte));
    json["bytes"] = std::move(bytes);
    return json;
}

}  // namespace

std::string token_text(const Tokenizer& tokenizer, Token token) {
    const std::string_view piece = tokenizer.piece(token);
    if (find_bad_utf8(piece) == std::string_view::npos) return std::string(piece);
    std::string text = "bytes:";
    for (const char c : piece) {
        const auto byte = static_cast<unsigned char>(c);
        text += concat("\\x", "0123456789abcdef"[byte >> 4], "0123456789abcdef"[byte & 15]);
    }
    return text;
}

OrderedJson completion_logs(const Tokenizer& tokenizer, std::span<const TokenLog> logs) {
    OrderedJson json;
    for (const char* list : {"tokens", "token_logprobs", "top_logprobs", "text_offset"})
        json[list] = OrderedJson::array();
    for (const TokenLog& log : logs) {
        const std::string chosen = token_text(tokenizer, log.chosen.token);
        json["tokens"].push_back(chosen);
        json["token_logprobs"].push_back(log.chosen.logprob);
        json["text_offset"].push_back(log.offset);
        OrderedJson top = OrderedJson::object();
        for (const LikelyToken& likely : log.top)
            top[token_text(tokenizer, likely.token)] = likely.logprob;
        // The chosen one is always among them, as in OpenAI's replies.
        top[chosen] = log.chosen.logprob;
        json["top_logprobs"].push_back(std::move(top));
    }
    return json;
}

OrderedJson chat_logs(const Tokenizer& tokenizer, std::span<const TokenLog> logs) {
    OrderedJson content = OrderedJson::array();
    for (const TokenLog& log : logs) {
        OrderedJson one = chat_token(tokenizer, log.chosen);
        one["top_logprobs"] = OrderedJson::array();
        for (const LikelyToken& likely : log.top)
            one["top_logprobs"].push_back(chat_token(tokenizer, likely));
        content.push_back(std::move(one));
    }
    OrderedJson json;
    json["content"] = std::move(content);
    json["refusal"] = nullptr;
    return json;
}

}  // namespace kvlab::api
