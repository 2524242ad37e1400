// api_prompt.hpp - chapter 7: the texts that a client sends, as tokens.
#pragma once

#include <vector>

#include "api_fields.hpp"

namespace kvlab::api {

// A string, a list of strings, a list of tokens, or a list of such lists; null: missing. Throws
// ApiError for anything else, and for a text that the vocabulary cannot write.
std::vector<ApiPrompt> read_prompts(const Json* prompt, const ApiRules& rules);

// A conversation in the model's chat template, up to where the assistant's next message begins.
ApiPrompt read_messages(const Json* messages, const ApiRules& rules);

}  // namespace kvlab::api
