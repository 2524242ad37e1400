// measure_steps.hpp - chapter 7: how long steps of the scheduler take, as it runs them: the
// model's pass, the choice of tokens and its own decisions. What fit_cost() learns from.
#pragma once

#include <vector>

#include <kvlab/serving/costs.hpp>
#include <kvlab/serving/step_model.hpp>

namespace kvlab {

// So many texts at once, and as many that wait for their places. All have prompts of this
// length, but they write `written` tokens or three, two or one quarters of that: so there are
// steps of all kinds, with prompts, without them and with both.
struct StepWorkload {
    Index texts, prompt, written;
};

struct MeasureOptions {
    // Of each workload; of each step the mean counts: it is sums of steps that are predicted,
    // and a step that was slow once is part of them.
    Index repeats = 5;
    Index token_budget = 256;  // of a step
    Index vocab = 256;
};

// From one text to sixteen, with short prompts and long ones, as far as they fit a context;
// those of more than `most_tokens` tokens altogether are left out.
std::vector<StepWorkload> spread_workloads(Index context, Index most_tokens);

// One sample a step. Throws Error as Scheduler::add() does.
std::vector<StepSample> measure_steps(StepModel& model,
                                      const KvShape& shape,
                                      const StepWorkload& workload,
                                      const MeasureOptions& options);

// Steps that were measured, the fit to two thirds of the workloads, and how far it is from the
// steps of those and of the other third, which it has not seen.
struct StepFit {
    StepCost cost;
    Index fitted = 0, held_out = 0;                      // steps
    std::vector<double> fitted_errors, held_out_errors;  // relative
    std::vector<StepSample> samples;                     // all
};

// Throws Error unless there are three workloads at least.
StepFit calibrate(StepModel& model,
                  const KvShape& shape,
                  const ServedModel& served,
                  std::span<const StepWorkload> workloads,
                  const MeasureOptions& options);

}  // namespace kvlab
