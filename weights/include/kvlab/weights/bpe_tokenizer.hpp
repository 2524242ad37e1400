// bpe_tokenizer.hpp - byte-level byte pair encoding, the tokenizer of GPT-2 and of SmolLM2.
//
//   text --pretokenize--> words --one token per byte--> symbols --merge--> tokens
//
//   word " low":     _   l   o   w      (_ is the space)
//   merge rank 0:    _   lo      w      always the pair of the lowest rank,
//   merge rank 2:    _   low            the leftmost of equals, until none is left
#pragma once

#include <array>
#include <cstdint>
#include <unordered_map>

#include <kvlab/weights/pretokenize.hpp>
#include <kvlab/weights/tokenizer.hpp>

namespace kvlab {

class BpeTokenizer final : public Tokenizer {
public:
    // Checks every merge: two parts, both tokens, and joined a token. A merge therefore always
    // makes a longer token out of two shorter ones, and merging ends.
    explicit BpeTokenizer(const TokenizerData& data);

    // The merge loop as its definition says it, one list of symbols before the first merge and
    // one after each: to look at, and to test encode() against, which does the same in less
    // time. `word` is taken as one word, whatever it holds; kNoToken is a byte without a token.
    std::vector<std::vector<Token>> merge_steps(std::string_view word) const;

private:
    struct Merge {
        std::int32_t rank;
        Token joined;
    };

    struct Workspace;  // see the source: the symbols of one word and the queue of its merges

    void encode_text(std::string_view text,
                     std::vector<Token>& tokens,
                     EncodeReport& report) const override;
    void load_pieces(const std::vector<std::string>& tokens);
    void load_merges(const std::vector<std::string>& tokens,
                     const std::vector<std::string>& merges);
    const Merge* find_merge(Token left, Token right) const;
    void merge_word(std::string_view word, Workspace& work) const;

    // Fixed at construction.
    PreTokenizer pre_;
    std::array<Token, 256> byte_tokens_;               // kNoToken: this byte cannot be written
    std::unordered_map<std::uint64_t, Merge> merges_;  // by (left, right)
};

}  // namespace kvlab
