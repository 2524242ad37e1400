#include <kvlab/serving/token_choice.hpp>

#include <algorithm>

#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

TokenChooser::TokenChooser(const ChoiceOptions& options)
    : options_(options), sampler_(options.sampling) {
    check(options.min_p >= 0 && options.min_p <= 1, "choice: min-p must be in [0, 1], found ",
          options.min_p);
    check(options.repetition_penalty > 0 && is_finite(options.repetition_penalty),
          "choice: the repetition penalty must be positive and finite, found ",
          options.repetition_penalty);
}

Token TokenChooser::choose(std::span<const float> logits, std::span<const Token> tokens) {
    if (options_.repetition_penalty != 1) logits = penalized(logits, tokens);
    if (options_.min_p == 0 || options_.sampling.temperature == 0)
        return static_cast<Token>(sampler_.sample(logits));
    keep_likely(logits);
    return at(kept_, sampler_.sample(kept_logits_));
}

// A token counts once, however often it came before.
std::span<const float> TokenChooser::penalized(std::span<const float> logits,
                                               std::span<const Token> tokens) {
    logits_.assign(logits.begin(), logits.end());
    seen_.assign(logits.size(), false);
    for (const Token token : tokens) {
        check(token >= 0 && token < std::ssize(logits), "choice: token ", token,
              " is outside of the vocabulary of ", logits.size());
        if (at(seen_, token)) continue;
        at(seen_, token) = true;
        float& logit = at(logits_, token);
        logit = logit > 0 ? logit / options_.repetition_penalty
                          : logit * options_.repetition_penalty;
    }
    check(all_finite(logits_), "choice: a repetition penalty of ", options_.repetition_penalty,
          " makes a logit infinite");
    return logits_;
}

// The weight of a token is 2^(log2(e) / temperature * (its logit - the largest)), so that of
// the most likely token is 1, and min_p is the least weight that stays.
void TokenChooser::keep_likely(std::span<const float> logits) {
    const float scale = log2e_over(static_cast<double>(options_.sampling.temperature));
    const float largest = at(logits, argmax(logits));
    kept_.clear();
    kept_logits_.clear();
    for (Token token = 0; token < std::ssize(logits); ++token) {
        if (kvlab::exp2((at(logits, token) - largest) * scale) < options_.min_p) continue;
        kept_.push_back(token);
        kept_logits_.push_back(at(logits, token));
    }
}

}  // namespace kvlab
