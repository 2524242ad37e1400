// reply_logs.hpp - chapter 7: logprobs as each of the two endpoints writes them.
#pragma once

#include <span>

#include <nlohmann/json.hpp>

#include <kvlab/serving/server_text.hpp>

namespace kvlab::api {

using OrderedJson = nlohmann::ordered_json;

// A token's text. One that is not whole characters reads "bytes:\xe2\x80", as OpenAI has it.
std::string token_text(const Tokenizer& tokenizer, Token token);

// {"tokens": [...], "token_logprobs": [...], "top_logprobs": [{...}], "text_offset": [...]}
OrderedJson completion_logs(const Tokenizer& tokenizer, std::span<const TokenLog> logs);

// {"content": [{"token": ..., "logprob": ..., "bytes": [...], "top_logprobs": [...]}]}
OrderedJson chat_logs(const Tokenizer& tokenizer, std::span<const TokenLog> logs);

}  // namespace kvlab::api
