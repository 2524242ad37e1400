#include "api_prompt.hpp"

#include <algorithm>
#include <array>

namespace kvlab::api {

namespace {

constexpr std::array<const char*, 3> kRoles{"system", "user", "assistant"};

std::string item_name(const char* list, std::size_t i) {
    return concat(list, "[", i, "]");
}

// The model would answer another text than the one that was sent.
void check_lossless(const std::string& field, const EncodeReport& losses) {
    if (losses.dropped_bytes > 0)
        refuse(field,
               concat("the model has no tokens for ", losses.dropped_bytes, " of its bytes"));
}

ApiPrompt prompt_of_text(const std::string& field,
                         const std::string& text,
                         const ApiRules& rules) {
    ApiPrompt prompt;
    prompt.text = text;
    EncodeReport losses;
    prompt.tokens = rules.tokenizer->encode(
        text, {.parse_special = false, .add_bos = rules.tokenizer->wants_bos()}, &losses);
    check_lossless(field, losses);
    if (prompt.tokens.empty()) refuse(field, "empty, and the model has no token to begin with");
    return prompt;
}

// Tokens are taken as they are: who sends them has put the first one there.
ApiPrompt prompt_of_tokens(const std::string& field, const Json& list, const ApiRules& rules) {
    ApiPrompt prompt;
    const Index V = rules.tokenizer->vocab_size();
    for (const Json& one : list) {
        const bool inside = one.is_number_unsigned() &&
                            one.get<std::uint64_t>() < static_cast<std::uint64_t>(V);
        if (!inside) refuse(field, concat("expected tokens below ", V, ", found ", shown(one)));
        prompt.tokens.push_back(one.get<Token>());
    }
    prompt.text = rules.tokenizer->decode(prompt.tokens);
    return prompt;
}

ApiPrompt read_prompt(const std::string& field, const Json& one, const ApiRules& rules) {
    if (one.is_string()) return prompt_of_text(field, one.get<std::string>(), rules);
    if (!one.is_array() || one.empty())
        refuse(field, concat("expected a string or a list of tokens, found ", shown(one)));
    return prompt_of_tokens(field, one, rules);
}

// A string, or a list of parts of which this server knows those of text.
std::string read_content(const std::string& field, const Json* content) {
    if (content == nullptr) refuse(field, "missing");
    if (content->is_string()) return content->get<std::string>();
    if (!content->is_array())
        refuse(field, concat("expected a string or a list of parts, found ", shown(*content)));
    std::string text;
    for (std::size_t i = 0; i < content->size(); ++i) {
        const std::string place = concat(field, "[", i, "]");
        Fields part((*content)[i], place);
        if (part.string("type").value_or("") != "text")
            refuse(concat(place, ".type"), "expected \"text\"");
        text += part.string("text").value_or("");
        part.finish();
    }
    return text;
}

ChatMessage read_message(const std::string& field, const Json& json) {
    Fields fields(json, field);
    ChatMessage message;
    message.role = fields.string("role").value_or("");
    if (std::find(kRoles.begin(), kRoles.end(), message.role) == kRoles.end())
        refuse(concat(field, ".role"),
               concat("expected system, user or assistant, found ", shown(message.role)));
    message.content = read_content(concat(field, ".content"), fields.any("content"));
    // What clients send back of an assistant's message.
    fields.neutral("refusal", {});
    fields.neutral("tool_calls", {Json::array()});
    fields.finish();
    return message;
}

}  // namespace

std::vector<ApiPrompt> read_prompts(const Json* prompt, const ApiRules& rules) {
    if (prompt == nullptr) refuse("prompt", "missing");
    // A list of numbers is one prompt; a list of anything else is a list of prompts.
    if (!prompt->is_array() || prompt->empty() || prompt->front().is_number())
        return {read_prompt("prompt", *prompt, rules)};
    if (std::ssize(*prompt) > rules.most_choices)
        refuse("prompt",
               concat("expected up to ", rules.most_choices, " texts, found ", prompt->size()));
    std::vector<ApiPrompt> prompts;
    for (std::size_t i = 0; i < prompt->size(); ++i)
        prompts.push_back(read_prompt(item_name("prompt", i), (*prompt)[i], rules));
    return prompts;
}

ApiPrompt read_messages(const Json* messages, const ApiRules& rules) {
    if (messages == nullptr) refuse("messages", "missing");
    if (!messages->is_array() || messages->empty())
        refuse("messages", concat("expected a list of messages, found ", shown(*messages)));
    std::vector<ChatMessage> conversation;
    for (std::size_t i = 0; i < messages->size(); ++i)
        conversation.push_back(read_message(item_name("messages", i), (*messages)[i]));
    ApiPrompt prompt;
    EncodeReport losses;
    prompt.tokens = rules.chat->encode(conversation, true, &losses);
    check_lossless("messages", losses);
    return prompt;
}

}  // namespace kvlab::api
