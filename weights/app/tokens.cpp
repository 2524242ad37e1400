// tokens.cpp - what a model's tokenizer makes of a text.
#include <iostream>
#include <string>

#include <kvlab/tensor/subcommand.hpp>
#include <kvlab/tensor/text.hpp>
#include <kvlab/weights/bpe_tokenizer.hpp>
#include <kvlab/weights/tokenizer.hpp>

#include "open_model.hpp"

namespace kvlab::app {

namespace {

struct TokensFlags {
    std::string model, text;
    bool special = false;  // read the names of control tokens as those tokens
    bool steps = false;    // also print each word's merges
};

std::string shown(const Tokenizer& tokenizer, Token token) {
    return token == kNoToken ? "(no token)" : quote(tokenizer.piece(token));
}

void show_words(const BpeTokenizer& tokenizer, const std::string& pre, std::string_view text) {
    const CodePoints points = read_code_points(text);
    Index begin = 0;
    for (const Index word_end :
         split_words(points.codes, pre_tokenizer_by_name(pre, "--steps"))) {
        const Index end = at(points.starts, word_end);
        const std::string word = points.bytes.substr(usize(begin), usize(end - begin));
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
void show_steps(const BpeTokenizer& tokenizer,
                const std::string& pre,
                const TokensFlags& flags) {
    for (const auto& fragment : tokenizer.cut_out_specials(flags.text, flags.special))
        if (fragment.token == kNoToken)
            show_words(tokenizer, pre, fragment.text);
        else
            std::cout << "special " << shown(tokenizer, fragment.token) << '\n';
}

int run_tokens(const TokensFlags& flags) {
    const GgufFile file = open_model(flags.model);
    const Metadata& metadata = file.metadata();
    for (const std::string& note : tokenizer_notes(metadata))
        std::cerr << "note: " << printable(note) << '\n';
    const auto tokenizer = make_tokenizer(metadata);
    if (flags.steps) {
        const auto* bpe = dynamic_cast<const BpeTokenizer*>(tokenizer.get());
        check(bpe != nullptr, tokenizer->source(), ": --steps: this tokenizer merges nothing");
        show_steps(*bpe, metadata.get_string_or("tokenizer.ggml.pre", ""), flags);
    }
    EncodeReport report;
    const auto tokens =
        tokenizer->encode(flags.text, {.parse_special = flags.special}, &report);
    for (const Token token : tokens)
        std::cout << token << '\t' << shown(*tokenizer, token) << '\n';
    if (!report.lossless())
        std::cout << "lost: " << report.dropped_bytes
                  << " bytes that the vocabulary cannot write, " << report.invalid_bytes
                  << " bytes that were not UTF-8\n";
    std::cout << "RESULT tokens=" << tokens.size() << " bytes=" << flags.text.size()
              << " dropped=" << report.dropped_bytes << " invalid=" << report.invalid_bytes
              << '\n';
    return cli::kHolds;
}

void add_tokens_flags(CLI::App& app, TokensFlags& flags) {
    app.add_option("model", flags.model, "The GGUF file")->required();
    app.add_option("text", flags.text, "The text")->required();
    app.add_flag("--special", flags.special, "Read names of control tokens as such");
    app.add_flag("--steps", flags.steps, "Print the merges of each word");
}

const cli::Subcommand kTokens{
    {.place = 30, .name = "tokens", .text = "Prints the tokens of a text"},
    add_tokens_flags,
    run_tokens};

}  // namespace

}  // namespace kvlab::app
