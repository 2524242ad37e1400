// token_time.hpp - chapter 8: the time of a decoded token behind a text of some length, of
// several models in the same rounds: rows of one round ran in the same minute.
#pragma once

#include <memory>
#include <vector>

#include <kvlab/tensor/measure.hpp>

#include "models.hpp"

namespace kvlab::app {

struct TimeFlags {
    Index tokens = 32, rounds = 5, warm_up = 4;
    Index prefills = 1;  // that count, of the text before; at least 1

    // Tokens that a round adds to the text.
    Index added() const { return warm_up + tokens; }
};

struct TimedText {
    OpenedMixers* opened;
    Index length;
    KvBytes bytes{};                    // of the text of `length` tokens
    std::unique_ptr<KvStore> behind{};  // has seen it; rounds work on forks of it
    std::vector<double> seconds{};      // of a token, one for each round: the median of them
    std::vector<double> prefills{};     // seconds of the whole text, one for each time
};

// The models need a context of length + flags.added() tokens.
std::vector<TimedText> time_texts(const std::vector<std::unique_ptr<OpenedMixers>>& models,
                                  Index length,
                                  const TimeFlags& flags);

// Of the median prefill.
double prefill_tokens_per_second(const TimedText& text);

// The median of the rounds' ratios.
double time_ratio(const TimedText& a, const TimedText& b);

// Whether the text's memory has as many bytes as the closed form says.
bool bytes_as_form(const TimedText& text);

}  // namespace kvlab::app
