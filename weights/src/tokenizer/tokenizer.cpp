#include <kvlab/weights/tokenizer.hpp>

#include <algorithm>
#include <limits>
#include <unordered_map>

#include <kvlab/tensor/text.hpp>
#include <kvlab/weights/bpe_tokenizer.hpp>
#include <kvlab/weights/byte_tokenizer.hpp>

namespace kvlab {

namespace {

// Names that end a text or a turn in files that do not say so by an index.
constexpr std::string_view kEndNames[] = {"<|endoftext|>", "<|im_end|>"};

bool is_known(TokenType type) {
    return TokenType::normal <= type && type <= TokenType::byte;
}

}  // namespace

Tokenizer::Tokenizer(const TokenizerData& data)
    : source_(data.source),
      chat_template_(data.chat_template),
      types_(data.types),
      bos_(data.bos),
      eos_(data.eos),
      add_bos_(data.add_bos) {
    const auto& tokens = data.tokens;
    check(!tokens.empty(), source_, ": the vocabulary has no tokens");
    check(tokens.size() <= std::numeric_limits<Token>::max(), source_, ": too many tokens");
    if (types_.empty()) types_.assign(tokens.size(), TokenType::normal);
    check(types_.size() == tokens.size(), source_, ": ", tokens.size(), " tokens, but ",
          types_.size(), " token types");
    pieces_.resize(tokens.size());

    std::unordered_map<std::string_view, std::size_t> seen;
    seen.reserve(tokens.size());
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        const auto fail = [&](const auto&... what) {
            throw Error(concat(source_, ": token ", i, what...));
        };
        if (!is_known(types_[i]))
            fail(": expected a type from 1 to 6, got ", static_cast<std::int32_t>(types_[i]));
        if (tokens[i].empty()) fail(" is empty");
        const auto [same, is_new] = seen.emplace(tokens[i], i);
        if (!is_new) fail(", ", quote(tokens[i]), ", is the same as token ", same->second);
        if (types_[i] == TokenType::control || types_[i] == TokenType::unknown ||
            types_[i] == TokenType::user_defined)
            specials_.push_back({tokens[i], static_cast<Token>(i)});
    }
    std::stable_sort(
        specials_.begin(), specials_.end(),
        [](const Special& a, const Special& b) { return a.text.size() > b.text.size(); });

    for (const Token end : {data.eos, data.eot}) ends_.push_back(end);
    for (const Special& special : specials_)
        if (std::ranges::find(kEndNames, special.text) != std::end(kEndNames))
            ends_.push_back(special.token);
    check_index(data.bos, "bos", true);
    check_index(data.eos, "eos", true);
    check_index(data.eot, "eot", true);
}

void Tokenizer::check_index(Token token, const char* what, bool optional) const {
    if (optional && token == kNoToken) return;
    check(0 <= token && token < vocab_size(), source_, ": ", what,
          ": expected a token from 0 to ", vocab_size() - 1, ", got ", token);
}

// ANCHOR: cut_out_specials
// The longest name goes first, over the whole text, then the next: so does llama.cpp.
std::vector<Tokenizer::Fragment> Tokenizer::cut_out_specials(std::string_view text,
                                                             bool parse_special) const {
    std::vector<Fragment> fragments, cut;
    if (!text.empty()) fragments.push_back({text, kNoToken});
    for (const Special& special : specials_) {
        if (!parse_special && type(special.token) != TokenType::user_defined) continue;
        if (text.find(special.text) == text.npos) continue;
        cut.clear();
        for (Fragment rest : fragments) {
            for (auto at = rest.text.find(special.text); at != rest.text.npos;
                 at = rest.text.find(special.text)) {
                if (at > 0) cut.push_back({rest.text.substr(0, at), kNoToken});
                cut.push_back({{}, special.token});
                rest.text.remove_prefix(at + special.text.size());
            }
            if (!rest.text.empty() || rest.token != kNoToken) cut.push_back(rest);
        }
        std::swap(fragments, cut);
    }
    return fragments;
}

// ANCHOR_END: cut_out_specials

std::vector<Token> Tokenizer::encode(std::string_view text,
                                     EncodeOptions options,
                                     EncodeReport* report) const {
    EncodeReport counts;
    std::vector<Token> tokens;
    if (options.add_bos) {
        check_index(bos_, "bos, which add_bos asks for", false);
        tokens.push_back(bos_);
    }
    for (const Fragment& fragment : cut_out_specials(text, options.parse_special)) {
        if (fragment.token == kNoToken)
            encode_text(fragment.text, tokens, counts);
        else
            tokens.push_back(fragment.token);
    }
    if (report != nullptr) {
        report->dropped_bytes += counts.dropped_bytes;
        report->invalid_bytes += counts.invalid_bytes;
    }
    return tokens;
}

std::string_view Tokenizer::piece(Token token) const {
    check_index(token, "piece", false);
    return at(pieces_, token);
}

std::string Tokenizer::decode(std::span<const Token> tokens) const {
    std::string text;
    for (const Token token : tokens) text += piece(token);
    return text;
}

bool Tokenizer::is_control(Token token) const {
    check_index(token, "is_control", false);
    return type(token) == TokenType::control;
}

bool Tokenizer::is_end(Token token) const {
    check_index(token, "is_end", false);
    return std::ranges::find(ends_, token) != ends_.end();
}

Token Tokenizer::find_control(std::string_view name) const {
    for (const Special& special : specials_)
        if (special.text == name && type(special.token) == TokenType::control)
            return special.token;
    return kNoToken;
}

std::unique_ptr<const Tokenizer> make_tokenizer(TokenizerData data) {
    if (data.model == "gpt2") return std::make_unique<const BpeTokenizer>(std::move(data));
    if (data.model == "llama" && data.tokens.size() == 256)
        return std::make_unique<const ByteTokenizer>(std::move(data));
    throw Error(concat(data.source,
                       ": tokenizer.ggml.model: expected 'gpt2', or 'llama' with 256 ",
                       "tokens, got ", quote(data.model), " with ", data.tokens.size()));
}

std::unique_ptr<const Tokenizer> make_tokenizer(const Metadata& metadata) {
    return make_tokenizer(read_tokenizer_data(metadata));
}

}  // namespace kvlab
