#include "texts.hpp"

#include <map>

namespace kvlab::app {

TextWindows windows_of(const Session& session,
                       const std::string& file,
                       Index window,
                       Index tokens) {
    const std::vector<std::uint8_t> bytes = cli::read_bytes(file);
    const Tokenizer& tokenizer = *session.tokenizer;
    const std::vector<Token> text =
        tokenizer.encode({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, {});
    return {text, tokenizer.wants_bos() ? tokenizer.bos() : kNoToken, window,
            std::max<Index>(1, tokens / window)};
}

Index bytes_behind_prompt(const Tokenizer& tokenizer,
                          const TextWindows& windows,
                          Index prompt) {
    Index bytes = 0;
    for (Index w = 0; w < windows.count(); ++w)
        for (const Token token : windows.targets(w).subspan(static_cast<std::size_t>(prompt)))
            bytes += static_cast<Index>(tokenizer.piece(token).size());
    return bytes;
}

std::vector<RecallCase> recall_cases(const Session& session,
                                     const std::string& file,
                                     Index most) {
    std::vector<RecallCase> cases;
    if (most == 0 || session.model->config.vocab != 256) return cases;
    std::map<Index, Index> taken;
    for (RecallCase& recall : read_recall_cases(file))
        if (recall.kind == "recall" && taken[recall.distance]++ < most)
            cases.push_back(std::move(recall));
    return cases;
}

}  // namespace kvlab::app
