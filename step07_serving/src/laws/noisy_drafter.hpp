// noisy_drafter.hpp - chapter 7: guesses that are right as often as one wants.
#pragma once

#include <functional>

#include <kvlab/serving/drafts.hpp>
#include <kvlab/tensor/random.hpp>

namespace kvlab {

// It is told what every text will be. Each of its guesses is a token of that with probability
// `right`, and any token otherwise; also the number of guesses is drawn.
class NoisyDrafter final : public Drafter {
public:
    // The tokens that a text will have in the end, its prompt included.
    using Future = std::function<std::span<const Token>(Index text)>;

    NoisyDrafter(Future future, Index vocab, float right, Rng random)
        : future_(std::move(future)), vocab_(vocab), right_(right), random_(random) {}

    const char* name() const override { return "noisy"; }

    void guess(Index text,
               std::span<const Token> tokens,
               Index count,
               std::vector<Token>& to) override {
        const auto future = future_(text);
        count = random_.below(count + 1);
        for (Index i = std::ssize(tokens); count > 0; ++i, --count) {
            const bool right = i < std::ssize(future) && random_.uniform() < right_;
            to.push_back(right ? at(future, i) : static_cast<Token>(random_.below(vocab_)));
        }
    }

    void forget(Index /*text*/) override {}

private:
    Future future_;
    Index vocab_;
    float right_;
    Rng random_;
};

}  // namespace kvlab
