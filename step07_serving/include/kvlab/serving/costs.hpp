// costs.hpp - chapter 7: how long a step takes, from the work that chapter 3 counts in it.
//
// ANCHOR: roofline
//   seconds = per step + per text in it
//           + of the matrices:            the larger of  bytes / bandwidth  and  FLOPs / rate
//           + of each text's attention:   the larger of  bytes / bandwidth  and  FLOPs / rate
// ANCHOR_END: roofline
//
// The larger of two is the roofline: memory and arithmetic work at the same time, and one of
// them is waited for. The weights are read once for all texts, but every text reads its own
// cache. The coefficients come from steps that were measured, or from a data sheet.
#pragma once

#include <span>
#include <string>
#include <vector>

#include <kvlab/kvcache/work.hpp>

namespace kvlab {

// What of a model its costs depend on.
struct ServedModel {
    Config config;
    Index weight_bytes = 0;     // of the matrices, read once in a step
    Index bytes_per_token = 0;  // of keys and values in all layers
    Index resident_bytes = 0;   // of all weights; of the embedding a step reads single rows

    // Floats everywhere, as chapter 3's CostModel counts.
    static ServedModel of_floats(const Config& config);
};

// One text's attention in a step.
struct TextWork {
    Index tokens = 0;  // that it feeds
    double cache_bytes = 0, flops = 0;
};

// What the time of a step depends on.
struct StepWork {
    Index tokens = 0;                    // of all texts
    double weight_bytes = 0, flops = 0;  // of the matrices
    std::vector<TextWork> texts;
};

StepWork step_work(const ServedModel& model, std::span<const StepShape> batch);

// In seconds.
struct StepCost {
    double per_step = 0, per_text = 0;
    double per_weight_byte = 0, per_flop = 0;
    double per_cache_byte = 0, per_attention_flop = 0;

    double seconds(const StepWork& work) const;
};

struct StepSample {
    std::vector<StepShape> batch;
    double seconds = 0;
};

// The coefficients, none of them negative, with the smallest sum of squared relative errors.
// With every step on a side of the ridges, the rest is linear. So it tries many ridges, by the
// number of tokens that share the bytes, and from the best one on sorts and solves in turn as
// long as that helps. Throws Error for no samples or times that are not positive.
StepCost fit_cost(const ServedModel& model, std::span<const StepSample> samples);

// |predicted - measured| / measured, of each sample.
std::vector<double> prediction_errors(const ServedModel& model,
                                      const StepCost& cost,
                                      std::span<const StepSample> samples);

// x >= 0 with the smallest |A x - b|, A [rows, columns]. With few columns all choices of which
// x are 0 can be tried: the best one is a plain least squares problem in the others. Throws
// Error for other sizes, or more than 12 columns.
std::vector<double> solve_non_negative(std::span<const double> a,
                                       std::span<const double> b,
                                       Index columns);

// A machine as its data sheet describes it, and how much of that is assumed to be reached.
struct Machine {
    std::string name;
    Index memory_bytes = 0;
    double bytes_per_second = 0, flops_per_second = 0;  // the data sheet's
    double bytes_efficiency = 1, flops_efficiency = 1;  // shares of them that are reached
    double seconds_per_step = 0;                        // whatever a step costs besides
    Index reserved_bytes = 0;                           // not for weights or pages

    StepCost cost() const;
};

// One H100 SXM with 80 GB, or several as one machine: `gpus` times everything, and the time in
// which they exchange what each has computed.
Machine h100(Index gpus, Index layers);

// Tokens whose keys and values fit beside the weights; 0 or less if not even these do.
Index tokens_that_fit(const Machine& machine, const ServedModel& model);

// The shape of Llama 3's 70B, with weights in `weight_bytes` bytes each and a cache of
// `number_bytes` bytes a number.
ServedModel model_70b(Index bytes_per_weight, Index bytes_per_number);

}  // namespace kvlab
