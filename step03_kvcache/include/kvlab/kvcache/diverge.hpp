// diverge.hpp - chapter 3: two runs side by side, and the first number in which they differ.
//
// "The logits are not equal" says nothing about why. The first operator, layer, head and
// position that differ nearly always do.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <kvlab/attention/decoder.hpp>
#include <kvlab/kvcache/recorder.hpp>
#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/sampling.hpp>

namespace kvlab {

// One number that differs, and where.
struct Divergence {
    Index step, layer;
    Index position, position_b;  // of the row in either run; equal, or that is the bug
    Op op;
    Index head;   // of query, key, value and attention; -1 elsewhere
    Index index;  // inside of the head, or of the row
    float a, b;
    std::uint64_t ulp;
    double relative;  // largest |a - b| of the row over the row's largest |a|
    bool value_too;   // for a query or key: whether this layer's values differ in this step too
};

// In words: "step 3, layer 1, attention, head 2, position 17, element 5".
std::string describe(const Divergence& d);

// What usually makes this operator the first to differ. A guess, by place and size.
std::string likely_cause(const Divergence& d);

// Of two rows: how many floats differ by more than a tolerance, and the first of them,
// -1 of none.
struct Beyond {
    Index count = 0, first = -1;
};

// Compares two runs of one text, step after step. Of each step the last rows are compared, as
// many as both computed: an uncached run computes all rows, a cached one the newest.
class Comparison {
public:
    // head_dim tells the heads of a row apart; 0: they are not told apart. With a tolerance two
    // floats differ where |a - b| is more than so many times the largest |a| of their row: for
    // an engine that does not keep the contract. 0: every bit counts. Throws Error for another
    // head_dim, and for a tolerance that is negative or not a number.
    explicit Comparison(Index head_dim, double tolerance = 0);

    // The next step. Throws Error when the two did not run the same operators in the same
    // order with rows of the same width.
    void add(const StepRecord& a, const StepRecord& b);

    // All floats, bit by bit, with a tolerance, too.
    const Difference& all() const { return all_; }

    // How many differ by more than the tolerance; without one, all().differ.
    Index beyond() const { return beyond_; }

    // The first of these.
    const std::optional<Divergence>& first() const { return first_; }

    // "embedding", "0 attention_norm", ... one for each operator of a step.
    const std::vector<std::string>& labels() const { return labels_; }

    // [steps][labels] the largest distance of each operator in each step.
    const std::vector<std::vector<std::uint64_t>>& max_ulp() const { return max_ulp_; }

    // [steps] the largest |a - b| of a logit.
    const std::vector<double>& max_abs_logits() const { return max_abs_logits_; }

    Index steps() const { return std::ssize(max_ulp_); }

private:
    Difference compare(const OpRecord& a, const OpRecord& b, Index& beyond);
    Beyond find_different(std::span<const float> a, std::span<const float> b) const;
    void note_first(const OpRecord& a, const OpRecord& b, Index row_a, Index row_b, Index i);

    Index head_dim_;
    double tolerance_;
    Difference all_;
    Index beyond_ = 0;
    std::optional<Divergence> first_;
    std::vector<std::string> labels_;
    std::vector<std::vector<std::uint64_t>> max_ulp_;
    std::vector<double> max_abs_logits_;
};

// One of the two runs. The store decides how: a cache, or WholeSequence for none.
struct Side {
    Decoder& decoder;
    KvStore& store;
};

struct DivergeReport {
    Comparison comparison;
    std::vector<Token> text;  // with the prompt
    // The first step in which the second run would have chosen another token, -1 if none. Both
    // are fed the first one's choice all the same, so that the drift stays a drift of numbers.
    Index fork_step = -1;
};

// Generates `steps` tokens from the prompt in both runs, in lock-step. Throws Error for an
// empty prompt, steps < 1, stores that have seen something, or no room.
DivergeReport diverge(const Side& a,
                      const Side& b,
                      std::span<const Token> prompt,
                      Index steps,
                      const SamplingOptions& sampling);

}  // namespace kvlab
