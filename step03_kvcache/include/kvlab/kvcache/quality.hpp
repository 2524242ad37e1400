// quality.hpp - chapter 3: what a cache of fewer bits changes in what the model says next.
//
// A text that stays the same proves little: a choice hides how near the others were. So every
// position of a text is asked for its whole distribution, once without a cache and once with
// each format, and the two are compared.
#pragma once

#include <vector>

#include <kvlab/attention/score.hpp>
#include <kvlab/kvcache/kv_format.hpp>
#include <kvlab/tensor/checksum.hpp>

namespace kvlab {

// A row of logits [V] as a distribution over the next token. Logarithms are taken in double:
// this is a measure, not a part of the model.
struct NextToken {
    explicit NextToken(std::span<const float> row);

    // As surprise_bits(), from the sum that is at hand.
    double bits(Token token) const;

    std::span<const float> logits;
    double log_sum;   // of exp(logit)
    Index likeliest;  // the argmax
};

// The Kullback-Leibler divergence of q from p: sum of p log2(p / q), the bits per token that
// are lost by who codes with q what p draws. Exactly 0 for equal rows. Throws Error for rows of
// unequal length.
double kl_bits(const NextToken& p, const NextToken& q);

// Of one window of a text alone: what the spread of a figure is made of (spread.hpp).
struct WindowShift {
    Index positions = 0, agree = 0;
    double bits = 0, kl = 0;  // sums

    double mean_kl() const { return kl / static_cast<double>(positions); }

    double mean_bits() const { return bits / static_cast<double>(positions); }  // per token

    double agreement() const {
        return static_cast<double>(agree) / static_cast<double>(positions);
    }
};

// How far the rows of one run are from those of another, over all positions of a text.
struct Shift {
    Index positions = 0, agree = 0;  // agree: with the same most likely next token
    double bits = 0;                 // that the second run gives the tokens of the text
    std::vector<double> kl;          // kl_bits of each position
    Difference logits;               // all of them, bit by bit
    std::vector<WindowShift> windows;

    // What is added from here on belongs to another window.
    void begin_window() { windows.emplace_back(); }

    // One more position: p of the first run, q of the second, `next` the text's own token.
    // Throws Error before the first window.
    void add(const NextToken& p, const NextToken& q, Token next);

    double agreement() const {
        return static_cast<double>(agree) / static_cast<double>(positions);
    }

    double mean_kl() const;
    // 0.99: of a hundred positions one is worse. 1: the largest. Throws
    // Error without positions.
    double kl_quantile(double share) const;

    double max_kl() const { return kl_quantile(1); }

    // The same figure of each window: of_windows(&WindowShift::mean_kl).
    std::vector<double> of_windows(double (WindowShift::*figure)() const) const {
        std::vector<double> values;
        for (const WindowShift& window : windows) values.push_back((window.*figure)());
        return values;
    }
};

// One format against the run without a cache.
struct CacheQuality : Shift {
    Format format = nullptr;
};

struct QualityReport {
    Index positions = 0;
    double uncached_bits = 0;  // for all tokens of the text
    std::vector<CacheQuality> caches;

    // That the float cache gave the bits of every logit; true if it was not asked.
    bool f32_equals_uncached() const;
};

// Judges a cache of each format (judge.hpp), in pieces of `piece` tokens (0: whole). The result
// does not depend on the pieces. All logits of one window are in memory at once. Throws Error
// for a window beyond the context, and for a negative piece.
QualityReport measure_quality(const std::shared_ptr<const Model>& model,
                              Engine& engine,
                              const TextWindows& text,
                              std::span<const Format> formats,
                              Index piece = 0,
                              SimdLevel level = default_simd_level());

}  // namespace kvlab
