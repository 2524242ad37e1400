// server_request.hpp - chapter 7: from the body of a POST to a request, or to a refusal.
//
// The fields are those of OpenAI's API, since every client speaks it. A server that skips a
// field that it does not know answers another question than the one that was asked, and nobody
// sees it. So here a field is either honoured, or accepted because its value changes nothing
// (presence_penalty 0), or refused by its name.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <kvlab/serving/request.hpp>
#include <kvlab/weights/chat.hpp>

namespace kvlab {

// What a client did wrong, or what the server cannot do now: a status of HTTP and OpenAI's
// error object.
class ApiError : public Error {
public:
    ApiError(int status, std::string code, std::string param, const std::string& message)
        : Error(message), status_(status), code_(std::move(code)), param_(std::move(param)) {}

    int status() const { return status_; }

    const std::string& code() const { return code_; }

    const std::string& param() const { return param_; }  // the field; may be empty

private:
    int status_;
    std::string code_, param_;
};

// One text to go on with.
struct ApiPrompt {
    std::vector<Token> tokens;
    std::string text;  // for `echo`
};

struct ApiRequest {
    bool chat = false;
    bool stream = false, include_usage = false;  // in events; and a last one with the counts
    bool echo = false;                           // the prompt stands before what is written
    std::vector<ApiPrompt> prompts;              // one for a chat
    Index n = 1;                                 // texts for each prompt; text i has seed + i
    std::vector<std::string> stops;              // the text ends before the first of these
    std::optional<Index> logprobs;               // how many likely tokens beside the chosen one

    // The rest of each request; the prompt, what is left of max_tokens and the seed differ.
    Request common;

    Index choices() const { return std::ssize(prompts) * n; }

    // What choice c, of prompt c / n, asks of the scheduler.
    Request request(Index choice) const;
};

// What a request is checked against. Only read, so any number of threads may share one.
struct ApiRules {
    std::string model;  // the name that clients must ask for
    const Tokenizer* tokenizer;
    const ChatFormat* chat = nullptr;  // null: the model cannot chat
    Index context = 0;       // tokens of a text, prompt included, that model and pool hold
    Index most_tokens = 0;   // that may be written for one text; 0: as the context allows
    Index most_choices = 1;  // texts of one request

    // The tokens that end a text, all of the vocabulary's.
    std::vector<Token> ends = {};
};

// All tokens of a vocabulary after which there is nothing more to write.
std::vector<Token> end_tokens(const Tokenizer& tokenizer);

// The body of POST /v1/completions and of POST /v1/chat/completions. Throws ApiError for what
// is no such request.
ApiRequest parse_completion(std::string_view body, const ApiRules& rules);
ApiRequest parse_chat(std::string_view body, const ApiRules& rules);

}  // namespace kvlab
