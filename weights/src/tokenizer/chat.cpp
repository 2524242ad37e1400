#include <kvlab/weights/chat.hpp>

#include <kvlab/tensor/text.hpp>

namespace kvlab {

namespace {

// SmolLM2's template, before and after its default system message.
constexpr std::string_view kTemplateHead =
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\n";
constexpr std::string_view kTemplateTail =
    "<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ "
    "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|im_start|>assistant\n' }}{% endif %}";

// The message between head and tail.
std::string default_system_message(const std::string& source, std::string_view text) {
    check(!text.empty(), source,
          ": tokenizer.chat_template: the model has none, it cannot chat");
    const bool known = text.size() >= kTemplateHead.size() + kTemplateTail.size() &&
                       text.starts_with(kTemplateHead) && text.ends_with(kTemplateTail);
    check(known, source, ": tokenizer.chat_template: expected SmolLM2's (ChatML), got ",
          quote(text));
    text.remove_prefix(kTemplateHead.size());
    text.remove_suffix(kTemplateTail.size());
    // Otherwise the string in the template would end, or mean something else, further on.
    check(text.find_first_of("'\\") == text.npos, source,
          ": tokenizer.chat_template: expected a system message without ' and \\, got ",
          quote(text));
    return std::string(text);
}

Token required_control(const Tokenizer& tokenizer, const char* name) {
    const Token token = tokenizer.find_control(name);
    check(token != kNoToken, tokenizer.source(), ": the vocabulary has no control token ",
          name);
    return token;
}

}  // namespace

ChatFormat::ChatFormat(const Tokenizer& tokenizer)
    : tokenizer_(tokenizer),
      im_start_(required_control(tokenizer, "<|im_start|>")),
      im_end_(required_control(tokenizer, "<|im_end|>")),
      default_system_(default_system_message(tokenizer.source(), tokenizer.chat_template())) {}

std::vector<Token> ChatFormat::encode(std::span<const ChatMessage> messages,
                                      bool generation_prompt,
                                      EncodeReport* report) const {
    std::vector<Token> tokens;
    if (!messages.empty() && messages[0].role != "system")
        append_message({"system", default_system_}, tokens, report);
    for (const ChatMessage& message : messages) append_message(message, tokens, report);
    if (generation_prompt) append_generation_prompt(tokens);
    return tokens;
}

void ChatFormat::append_text(std::string_view text,
                             std::vector<Token>& tokens,
                             EncodeReport* report) const {
    const std::vector<Token> more = tokenizer_.encode(text, {}, report);
    tokens.insert(tokens.end(), more.begin(), more.end());
}

void ChatFormat::append_message(const ChatMessage& message,
                                std::vector<Token>& tokens,
                                EncodeReport* report) const {
    tokens.push_back(im_start_);
    append_text(concat(message.role, "\n", message.content), tokens, report);
    tokens.push_back(im_end_);
    append_text("\n", tokens, report);
}

void ChatFormat::append_generation_prompt(std::vector<Token>& tokens) const {
    tokens.push_back(im_start_);
    append_text("assistant\n", tokens, nullptr);
}

void ChatFormat::end_reply(std::vector<Token>& tokens) const {
    const bool ended = !tokens.empty() && tokenizer_.is_end(tokens.back());
    if (ended && tokens.back() != im_end_) tokens.pop_back();
    if (tokens.empty() || tokens.back() != im_end_) tokens.push_back(im_end_);
    append_text("\n", tokens, nullptr);
}

}  // namespace kvlab
