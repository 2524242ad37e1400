// texts.hpp - chapter 5: the texts and questions that the subcommands share.
#pragma once

#include <kvlab/attention/recall_file.hpp>
#include <kvlab/policies/policy_quality.hpp>

#include "app.hpp"

namespace kvlab::app {

// The file in windows of `window` tokens, about `tokens` of them in all.
TextWindows windows_of(const Session& session,
                       const std::string& file,
                       Index window,
                       Index tokens);

// Bytes of the text that the scored tokens stand for.
Index bytes_behind_prompt(const Tokenizer& tokenizer, const TextWindows& windows, Index prompt);

// The first `most` cases of each distance; none for a model whose tokens are not bytes.
std::vector<RecallCase> recall_cases(const Session& session,
                                     const std::string& file,
                                     Index most);

}  // namespace kvlab::app
