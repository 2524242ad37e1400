// score.hpp - chapter 2: how good a model is, and later: how good it still is with less memory.
//
// Every measure takes the store to measure with, so that the same figures can be had for any
// way of keeping keys and values. weights/evaluate.py measures the same in PyTorch, by
// the same definitions.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <kvlab/attention/decoder.hpp>
#include <kvlab/weights/tokenizer.hpp>

namespace kvlab {

// A fresh store with room for `capacity` tokens.
using MakeStore = std::function<std::unique_ptr<KvStore>(Index capacity)>;

// log of the sum of exp(logit) over a row of logits [V]: what turns logits into logarithms of
// probabilities. In double: it is a measure, not a part of the model. The largest logit is
// taken out first, so that nothing overflows.
double log_sum_exp(std::span<const float> logits);

// -log2 of the probability that a row of logits [V] gives to `token`. Throws Error for a token
// outside of the row.
double surprise_bits(std::span<const float> logits, Token token);

// A text in windows of `window` tokens, without overlap; a rest is dropped. Each window is a
// sequence of its own: `bos` goes in, then all but the last of its tokens; all of them are
// scored. Where there is no bos (kNoToken), the token before the window goes in first: the very
// first of the text is then not scored. At most `most` windows, 0: all. Throws Error for a text
// shorter than one window.
class TextWindows {
public:
    TextWindows(std::span<const Token> tokens, Token bos, Index window, Index most = 0);

    // Those of another text come after these. Throws Error for windows of another length.
    void append(const TextWindows& more);

    Index count() const { return std::ssize(tokens_) / (window_ + 1); }

    Index window() const { return window_; }

    std::vector<Token> input(Index w) const;        // [window]
    std::span<const Token> targets(Index w) const;  // [window]

private:
    // Of each window the token that goes before its first target, then its targets.
    std::vector<Token> tokens_;  // [count, window + 1]
    Index window_;
};

struct BitsPerByte {
    double bits = 0;  // the mean
    Index bytes = 0;  // that were scored
    Index windows = 0;
};

// Bits per byte of a byte-level model (V = 256), whose tokens are the bytes of `text`. Throws
// Error for another vocabulary, a window beyond the context, or a text shorter than one window.
BitsPerByte bits_per_byte(Decoder& decoder,
                          const MakeStore& make_store,
                          std::span<const std::uint8_t> text,
                          Token bos,
                          Index window = 512,
                          Index most_windows = 0);

// One case of a recall task: the bytes at the places `answers` of `text` are to be predicted.
struct RecallCase {
    std::string kind;    // "recall", "first", "needle" ...
    Index distance = 0;  // from the question back to what it asks for
    std::string text;
    std::vector<Index> answers;
};

// Right answers of a case: BOS and the text go in; text[i], i in answers, is right if it has
// the largest logit (lowest byte of equal ones) in the row before it.
Index right_answers(Decoder& decoder, KvStore& store, const RecallCase& recall, Token bos);

// Mean attention weight on position 0 of the queries at positions `from` and later, per layer:
// the attention sink (Xiao et al. 2023). One forward pass over `tokens` with a store
// of its own.
std::vector<double> sink_mass(Decoder& decoder,
                              KvStore& store,
                              std::span<const Token> tokens,
                              Index from);

}  // namespace kvlab
