// texts.hpp - chapter 2: the texts and questions that the tables of all chapters are made with.
//
// Header only, and included by programs alone: the libraries do not need a JSON parser.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include <kvlab/attention/command_line.hpp>
#include <kvlab/attention/recall_file.hpp>
#include <kvlab/attention/score.hpp>

namespace kvlab {

// The tokens of a file, without BOS.
inline std::vector<Token> tokens_of_file(const Tokenizer& tokenizer, const std::string& file) {
    const std::vector<std::uint8_t> bytes = cli::read_bytes(file);
    return tokenizer.encode({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, {});
}

// What goes in before a window of text: BOS where the model wants one.
inline Token first_token(const Tokenizer& tokenizer) {
    return tokenizer.wants_bos() ? tokenizer.bos() : kNoToken;
}

// The file in windows of `window` tokens, about `tokens` of them in all.
inline TextWindows windows_of(const OpenedModel& opened,
                              const std::string& file,
                              Index window,
                              Index tokens) {
    return {tokens_of_file(*opened.tokenizer, file), first_token(*opened.tokenizer), window,
            std::max<Index>(1, tokens / window)};
}

// Bytes of the text that the scored tokens stand for.
inline Index bytes_behind_prompt(const Tokenizer& tokenizer,
                                 const TextWindows& windows,
                                 Index prompt) {
    Index bytes = 0;
    for (Index w = 0; w < windows.count(); ++w)
        for (const Token token : windows.targets(w).subspan(usize(prompt)))
            bytes += static_cast<Index>(tokenizer.piece(token).size());
    return bytes;
}

// The first `most` cases of each distance; none for a model whose tokens are not bytes.
inline std::vector<RecallCase> recall_cases(const OpenedModel& opened,
                                            const std::string& file,
                                            Index most) {
    std::vector<RecallCase> cases;
    if (most == 0 || opened.model->config.vocab != 256) return cases;
    std::map<Index, Index> taken;
    for (RecallCase& recall : read_recall_cases(file))
        if (recall.kind == "recall" && taken[recall.distance]++ < most)
            cases.push_back(std::move(recall));
    return cases;
}

}  // namespace kvlab
