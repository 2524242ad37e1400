// server_text.hpp - chapter 7: from the tokens of one text to the pieces that are sent.
//
// Three things may stand in the way between a token and its text:
//   - a token may be half a character: it waits for the other half;
//   - what may be the beginning of a stop string waits until it is one, or is none;
//   - the token that ends a text is no text.
//
//   stop "END"     tokens    a    E    NX    EN    D
//                  sent      a    -    ENX   -     nothing any more: the text is "aENX"
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <kvlab/weights/tokenizer.hpp>
#include <kvlab/weights/unicode.hpp>

namespace kvlab {

// Cuts a text before the stop string that is complete first.
class StopCutter {
public:
    explicit StopCutter(std::vector<std::string> stops) : stops_(std::move(stops)) {}

    // Returns what can be sent now: all that is known to stand before any stop string.
    std::string push(std::string_view text);

    // A stop string was found; from now on push() returns nothing.
    bool stopped() const { return stopped_; }

    // The text has ended: what was held back is its end.
    std::string finish();

private:
    std::vector<std::string> stops_;
    std::string held_;  // a proper beginning of some stop string, or empty
    bool stopped_ = false;
};

// A token and the natural logarithm of its probability.
struct LikelyToken {
    Token token;
    double logprob;
};

// What `logprobs` asks for of one token: of the model's own distribution, before temperature
// and everything else that a client may set.
struct TokenLog {
    LikelyToken chosen;
    std::vector<LikelyToken> top;  // the most likely ones, largest first
    Index offset = 0;              // characters of the text before it
};

TokenLog log_of(std::span<const float> logits, Token token, Index top);

// What can be sent after a token.
struct SentText {
    std::string text;            // whole characters
    std::vector<TokenLog> logs;  // of the tokens that begin in what was sent up to now
};

// Of one text.
class TextSender {
public:
    // `logprobs`: how many likely tokens to tell with each; null: no logs.
    TextSender(const Tokenizer& tokenizer,
               std::vector<std::string> stops,
               std::optional<Index> logprobs);

    // `logits` [V] is the row that the token was chosen from; only looked at for logs.
    SentText push(Token token, std::span<const float> logits);

    // A stop string was found: the text is over.
    bool stopped() const { return cutter_.stopped(); }

    // What was held back at the text's end.
    SentText finish();

private:
    struct HeldLog {
        TokenLog log;
        std::size_t begin;  // byte of the whole text at which the token's own text begins
    };

    SentText sent(std::string text, bool last);

    const Tokenizer& tokenizer_;
    std::optional<Index> logprobs_;
    Utf8Stream utf8_;
    StopCutter cutter_;
    std::size_t written_ = 0, sent_ = 0;  // bytes of whole characters; of them that were sent
    Index characters_ = 0;                // of what was written
    std::vector<HeldLog> held_;
};

}  // namespace kvlab
