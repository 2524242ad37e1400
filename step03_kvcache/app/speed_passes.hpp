// speed_passes.hpp - chapter 3: what `speed` times: a prompt in one step, or tokens one by one;
// and the rate of any such pass.
#pragma once

#include <algorithm>
#include <memory>
#include <span>
#include <vector>

#include <kvlab/attention/session.hpp>
#include <kvlab/kvcache/kv_cache.hpp>
#include <kvlab/kvcache/prefill.hpp>
#include <kvlab/tensor/measure.hpp>
#include <kvlab/tensor/numerics.hpp>

#include "app.hpp"

namespace kvlab::app {

inline constexpr Index kFillChunk =
    512;  // of the context, which is filled before the clock runs

// The text of sequence s: numbers that any program can make again. Which ones is all the same
// to the clock, but two engines that are compared should read the same text.
inline std::vector<Token> text_of(Index sequence, Index length, Index vocab) {
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

// A whole prompt in one step.
class PrefillPass {
public:
    PrefillPass(Session& session, const SpeedFlags& flags)
        : session_(session),
          text_(text_of(0, flags.prefill, session.model->config.vocab)),
          logits_(flags.all_logits ? LogitsOf::all : LogitsOf::last),
          cache_(session.decoder.kv_shape(), flags.prefill, session.level) {}

    Index tokens() const { return static_cast<Index>(text_.size()); }

    Index cache_bytes() const { return cache_.bytes().allocated; }

    double seconds() {
        cache_.reset();
        const Stopwatch watch;
        const View<const float> logits = session_.decoder.forward(cache_, text_, logits_);
        chosen_.assign(1, static_cast<Token>(argmax(logits[logits.dim(0) - 1].flat())));
        return watch.seconds();
    }

    const std::vector<Token>& chosen() const { return chosen_; }

private:
    Session& session_;
    std::vector<Token> text_;
    LogitsOf logits_;
    KvCache cache_;
    std::vector<Token> chosen_;
};

// Some sequences, each with its own context, grow by one token a step, all in one batch.
class DecodePass {
public:
    DecodePass(Session& session, const SpeedFlags& flags)
        : session_(session), context_(flags.context), steps_(flags.tokens) {
        const Index vocab = session.model->config.vocab;
        for (Index s = 0; s < flags.batch; ++s) {
            caches_.push_back(std::make_unique<KvCache>(session.decoder.kv_shape(),
                                                        context_ + steps_, session.level));
            // The first token fed is the text's next one: the same with any engine.
            const std::vector<Token> text = text_of(s, context_ + 1, vocab);
            if (context_ > 0)
                prefill(session.decoder, *caches_.back(),
                        std::span(text).first(text.size() - 1), kFillChunk);
            first_.push_back(text.back());
        }
        next_ = first_;
        for (std::size_t s = 0; s < caches_.size(); ++s)
            batch_.push_back({caches_[s].get(), {&next_[s], 1}});
    }

    Index tokens() const { return steps_ * static_cast<Index>(caches_.size()); }

    Index cache_bytes() const {
        Index bytes = 0;
        for (const auto& cache : caches_) bytes += cache->bytes().allocated;
        return bytes;
    }

    double seconds() {
        for (const auto& cache : caches_) cache->truncate(context_);
        std::copy(first_.begin(), first_.end(), next_.begin());  // the batch points into next_
        chosen_.clear();
        chosen_.reserve(static_cast<std::size_t>(steps_));
        const Stopwatch watch;
        for (Index step = 0; step < steps_; ++step) {
            const View<const float> logits = session_.decoder.forward(batch_);
            for (std::size_t s = 0; s < next_.size(); ++s)
                next_[s] = static_cast<Token>(argmax(logits[static_cast<Index>(s)].flat()));
            chosen_.push_back(next_[0]);
        }
        return watch.seconds();
    }

    const std::vector<Token>& chosen() const { return chosen_; }

private:
    Session& session_;
    Index context_, steps_;
    std::vector<std::unique_ptr<KvCache>> caches_;
    std::vector<Token> first_, next_, chosen_;  // first and next: one per sequence
    std::vector<SequenceStep> batch_;
};

}  // namespace kvlab::app
