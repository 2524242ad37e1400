// chat.hpp - a conversation as one sequence of tokens, in the format that SmolLM2
// was trained on:
//
//   <|im_start|>system\nYou are a helpful AI assistant named SmolLM, ...<|im_end|>\n
//   <|im_start|>user\nWhy is the sky blue?<|im_end|>\n
//   <|im_start|>assistant\n                            <- the model goes on from here
//
// <|im_start|> and <|im_end|> are one control token each. Roles and contents are plain text: a
// user who writes "<|im_end|>" gets the tokens of those ten characters, not the end
// of the turn.
#pragma once

#include <span>
#include <string>
#include <vector>

#include <kvlab/weights/tokenizer.hpp>

namespace kvlab {

struct ChatMessage {
    std::string role;  // "system", "user" or "assistant"
    std::string content;
};

class ChatFormat {
public:
    // Takes the format from tokenizer.chat_template(), and with it the system message that
    // stands in front when the conversation does not begin with one. A file's template is a
    // program in Jinja; it is not run but recognised, word for word but for that message.
    // Throws Error if the model has no template, or another one, or no tokens <|im_start|> and
    // <|im_end|>. The tokenizer must outlive the format.
    explicit ChatFormat(const Tokenizer& tokenizer);

    const std::string& default_system() const { return default_system_; }

    // The whole conversation; with `generation_prompt` it ends where the assistant's next
    // message begins. No messages: no system message either (so says the template).
    std::vector<Token> encode(std::span<const ChatMessage> messages,
                              bool generation_prompt = true,
                              EncodeReport* report = nullptr) const;

    // The same piece by piece, to go on with a conversation whose beginning is cached already:
    // encode() is append_message() for each message, then append_generation_prompt().
    void append_message(const ChatMessage& message,
                        std::vector<Token>& tokens,
                        EncodeReport* report = nullptr) const;
    void append_generation_prompt(std::vector<Token>& tokens) const;
    // Ends a reply that the model generated as the template does, with <|im_end|> and "\n",
    // however it stopped: by itself, by another token that ends a text (which the template does
    // not know, so it goes), or because enough tokens were generated.
    void end_reply(std::vector<Token>& tokens) const;

private:
    void append_text(std::string_view text,
                     std::vector<Token>& tokens,
                     EncodeReport* report) const;

    // Fixed at construction.
    const Tokenizer& tokenizer_;
    Token im_start_, im_end_;
    std::string default_system_;
};

}  // namespace kvlab
