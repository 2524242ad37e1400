#include "tokens.hpp"

#include <iostream>

#include <kvlab/tensor/text.hpp>
#include <kvlab/weights/bpe_tokenizer.hpp>
#include <kvlab/weights/tokenizer.hpp>

namespace kvlab {

namespace {

std::string shown(const Tokenizer& tokenizer, Token token) {
    return token == kNoToken ? "(no token)" : quote(tokenizer.piece(token));
}

void show_words(const BpeTokenizer& tokenizer, const std::string& pre, std::string_view text) {
    const CodePoints points = read_code_points(text);
    Index begin = 0;
    for (const Index word_end :
         split_words(points.codes, pre_tokenizer_by_name(pre, "--steps"))) {
        const Index end = points.starts[static_cast<std::size_t>(word_end)];
        const std::string word = points.bytes.substr(static_cast<std::size_t>(begin),
                                                     static_cast<std::size_t>(end - begin));
        begin = end;
        std::cout << "word " << quote(word) << '\n';
        for (const auto& step : tokenizer.merge_steps(word)) {
            std::cout << "   ";
            for (const Token token : step) std::cout << ' ' << shown(tokenizer, token);
            std::cout << '\n';
        }
    }
}

// Inside of a special token nothing is merged.
void show_steps(const BpeTokenizer& tokenizer, const std::string& pre, const ShowTokens& what) {
    for (const auto& fragment : tokenizer.cut_out_specials(what.text, what.special))
        if (fragment.token == kNoToken)
            show_words(tokenizer, pre, fragment.text);
        else
            std::cout << "special " << shown(tokenizer, fragment.token) << '\n';
}

}  // namespace

void show_tokens(const Metadata& metadata, const ShowTokens& what) {
    const auto tokenizer = make_tokenizer(metadata);
    if (what.steps) {
        const auto* bpe = dynamic_cast<const BpeTokenizer*>(tokenizer.get());
        check(bpe != nullptr, tokenizer->source(), ": --steps: this tokenizer merges nothing");
        show_steps(*bpe, metadata.get_string_or("tokenizer.ggml.pre", ""), what);
    }
    EncodeReport report;
    const auto tokens = tokenizer->encode(what.text, {.parse_special = what.special}, &report);
    for (const Token token : tokens)
        std::cout << token << '\t' << shown(*tokenizer, token) << '\n';
    if (!report.lossless())
        std::cout << "lost: " << report.dropped_bytes
                  << " bytes that the vocabulary cannot write, " << report.invalid_bytes
                  << " bytes that were not UTF-8\n";
    std::cout << "RESULT tokens=" << tokens.size() << " bytes=" << what.text.size()
              << " dropped=" << report.dropped_bytes << " invalid=" << report.invalid_bytes
              << '\n';
}

}  // namespace kvlab
