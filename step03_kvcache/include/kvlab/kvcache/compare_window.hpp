// compare_window.hpp - chapter 3: one window of a text, read without a cache and through a
// store, row against row. What this and later chapters measure is made of it.
#pragma once

#include <functional>
#include <vector>

#include <kvlab/attention/decoder.hpp>
#include <kvlab/kvcache/quality.hpp>

namespace kvlab {

// The distribution behind every token of `input`, in one step. They borrow the decoder's
// logits: valid until its next step. `store` has to be empty, or to remember nothing.
std::vector<NextToken> read_window(Decoder& decoder,
                                   KvStore& store,
                                   std::span<const Token> input);

// Takes one position: as expected, as found, and the text's own next token.
using AddRow =
    std::function<void(const NextToken& expected, const NextToken& found, Token next)>;

// Reads `input` through an empty store in pieces of `piece` tokens (0: whole) and hands out
// each row beside the one expected there. Input, targets and `expected` have one size.
void compare_window(Decoder& decoder,
                    KvStore& store,
                    std::span<const Token> input,
                    std::span<const Token> targets,
                    std::span<const NextToken> expected,
                    Index piece,
                    const AddRow& add);

}  // namespace kvlab
