// token_choice.hpp - chapter 7: from a row of logits to one token, with what a client may ask
// for besides chapter 1's sampling.
#pragma once

#include <span>
#include <vector>

#include <kvlab/tensor/sampling.hpp>
#include <kvlab/weights/token.hpp>

namespace kvlab {

struct ChoiceOptions {
    SamplingOptions sampling = {};
    float min_p = 0;  // drops tokens below this share of the most likely one; 0: none
    float repetition_penalty =
        1;  // logits of tokens that came before are divided by it where
            // positive and multiplied where negative (Keskar et al. 2019)
};

// Of one text. It throws its dice once per token that is kept, so that the text of a seed does
// not depend on how its steps were cut, nor on guesses.
class TokenChooser {
public:
    // Throws Error as Sampler does, for min_p outside of [0, 1], and for a penalty that is not
    // positive and finite.
    explicit TokenChooser(const ChoiceOptions& options);

    // The next token of a text that has `tokens` so far, from its logits [V]: first the
    // penalty, then min_p, then what Sampler does with the tokens that are left. Throws Error
    // as Sampler does, and for a token that has no logit.
    Token choose(std::span<const float> logits, std::span<const Token> tokens);

private:
    std::span<const float> penalized(std::span<const float> logits,
                                     std::span<const Token> tokens);
    void keep_likely(std::span<const float> logits);

    ChoiceOptions options_;
    Sampler sampler_;
    // Memory of choose(), kept for the next token.
    std::vector<float> logits_;  // [V] with penalties
    std::vector<bool> seen_;     // [V] which tokens came before
    std::vector<Token> kept_;    // those that min_p leaves, in order, and their logits
    std::vector<float> kept_logits_;
};

}  // namespace kvlab
