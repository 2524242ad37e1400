// texts.hpp - chapter 2: the texts and questions that the tables of all chapters are made with.
//
// Header only, and included by programs alone: the libraries do not need a JSON parser.
#pragma once

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <kvlab/attention/command_line.hpp>
#include <kvlab/attention/recall_file.hpp>
#include <kvlab/attention/score.hpp>

namespace kvlab {

// The tokens of a file, without BOS. Says so where characters of it were lost.
inline std::vector<Token> tokens_of_file(const Tokenizer& tokenizer, const std::string& file) {
    const std::vector<std::uint8_t> bytes = cli::read_bytes(file);
    EncodeReport losses;
    std::vector<Token> tokens = tokenizer.encode(
        {reinterpret_cast<const char*>(bytes.data()), bytes.size()}, {}, &losses);
    cli::warn_about_losses(losses);
    return tokens;
}

// What goes in before a window of text: BOS where the model wants one.
inline Token first_token(const Tokenizer& tokenizer) {
    return tokenizer.wants_bos() ? tokenizer.bos() : kNoToken;
}

// The beginnings of these files in windows of `window` tokens: about `tokens` of them in all
// (0: everything), and of each file as many windows as of the others, or one more.
inline TextWindows windows_of(const OpenedModel& opened,
                              std::span<const std::string> files,
                              Index window,
                              Index tokens) {
    check(!files.empty(), "no text");
    const Index all = std::max<Index>(std::ssize(files), tokens / window);
    std::optional<TextWindows> windows;
    for (Index f = 0; f < std::ssize(files); ++f) {
        const Index most = (all - f + std::ssize(files) - 1) / std::ssize(files);
        const TextWindows of_file(tokens_of_file(*opened.tokenizer, at(files, f)),
                                  first_token(*opened.tokenizer), window,
                                  tokens == 0 ? 0 : most);
        if (windows)
            windows->append(of_file);
        else
            windows = of_file;
    }
    return *windows;
}

// The names of these files, without their folders: "heldout.txt, code.txt".
inline std::string names_of_files(std::span<const std::string> files) {
    std::string names;
    for (const std::string& file : files)
        names += (names.empty() ? "" : ", ") + std::filesystem::path(file).filename().string();
    return names;
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
