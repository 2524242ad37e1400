// decode_pass.hpp - chapter 3: a generation to be timed, again and again, with caches of any
// kind: the forward passes and the choice of the most likely tokens, nothing else.
#pragma once

#include <algorithm>
#include <memory>
#include <span>
#include <vector>

#include <kvlab/attention/opened_model.hpp>
#include <kvlab/kvcache/prefill.hpp>
#include <kvlab/tensor/measure.hpp>
#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

inline constexpr Index kFillChunk =
    512;  // of the context, which is filled before the clock runs

// The text of sequence s: numbers that any program can make again. Which ones is all the same
// to the clock, but two engines that are compared should read the same text.
inline std::vector<Token> race_text(Index sequence, Index length, Index vocab) {
    std::vector<Token> tokens;
    for (Index i = 0; i < length; ++i)
        tokens.push_back(static_cast<Token>((7919 * i + 104729 * sequence + 1) % vocab));
    return tokens;
}

// Tokens per second over as many passes as fill the time: a pass over the tiny model takes two
// milliseconds or less, too short to be measured well.
template <class Pass>
double round_rate(Pass& pass, double at_least) {
    double seconds = 0;
    Index tokens = 0;
    while (tokens == 0 || seconds < at_least) {
        seconds += pass.seconds();
        tokens += pass.tokens();
    }
    return static_cast<double>(tokens) / seconds;
}

// Some sequences, each with its own context, grow by one token a step, all in one batch.
class DecodePass {
public:
    // Fills the stores, one for each sequence, with room for `context` and `steps` tokens.
    // Throws Error if a store has not so much.
    DecodePass(OpenedModel& opened,
               Index context,
               Index steps,
               std::vector<std::unique_ptr<KvStore>> stores)
        : opened_(opened), context_(context), steps_(steps), stores_(std::move(stores)) {
        const Index vocab = opened.model->config.vocab;
        for (const auto& store : stores_) {
            const auto s = std::ssize(first_);
            // The first token fed is the text's next one: the same with any engine.
            const std::vector<Token> text = race_text(s, context_ + 1, vocab);
            if (context_ > 0)
                prefill(opened.decoder, *store, std::span(text).first(text.size() - 1),
                        kFillChunk);
            first_.push_back(text.back());
        }
        next_ = first_;
        for (std::size_t s = 0; s < stores_.size(); ++s)
            batch_.push_back({stores_[s].get(), {&next_[s], 1}});
    }

    Index tokens() const { return steps_ * std::ssize(stores_); }

    Index cache_bytes() const {
        Index bytes = 0;
        for (const auto& store : stores_) bytes += store->bytes().allocated;
        return bytes;
    }

    double seconds() {
        for (const auto& store : stores_) store->truncate(context_);
        std::copy(first_.begin(), first_.end(), next_.begin());  // the batch points into next_
        chosen_.clear();
        chosen_.reserve(usize(steps_));
        const Stopwatch watch;
        for (Index step = 0; step < steps_; ++step) {
            const View<const float> logits = opened_.decoder.forward(batch_);
            for (std::size_t s = 0; s < next_.size(); ++s)
                next_[s] = static_cast<Token>(argmax(logits[static_cast<Index>(s)].flat()));
            chosen_.push_back(next_[0]);
        }
        return watch.seconds();
    }

    // By the last pass; by its first sequence.
    const std::vector<Token>& chosen() const { return chosen_; }

private:
    OpenedModel& opened_;
    Index context_, steps_;
    std::vector<std::unique_ptr<KvStore>> stores_;
    std::vector<Token> first_, next_, chosen_;  // first and next: one per sequence
    std::vector<SequenceStep> batch_;
};

}  // namespace kvlab
