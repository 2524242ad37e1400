#include <kvlab/serving/measure_steps.hpp>

#include <algorithm>

#include <kvlab/serving/scheduler.hpp>
#include <kvlab/serving/trace.hpp>
#include <kvlab/serving/watched_steps.hpp>

namespace kvlab {

namespace {

// The same steps each time it is called, since nothing in them depends on the clock.
std::vector<StepSample> run_once(StepModel& model,
                                 const KvShape& shape,
                                 const StepWorkload& workload,
                                 const MeasureOptions& options) {
    const Index longest = workload.prompt + workload.written;
    const PoolOptions pages{.pages = workload.texts * blocks_for(longest, kTile)};
    PagePool pool(shape, pages);
    WatchedSteps watched(model);
    Scheduler scheduler(watched, pool,
                        {.max_running = workload.texts, .token_budget = options.token_budget});
    for (Index i = 0; i < 2 * workload.texts; ++i) {
        const Index written = std::max<Index>(1, workload.written * (4 - i % 4) / 4);
        scheduler.add(to_request({.prompt = {{i, workload.prompt}}, .max_tokens = written},
                                 options.vocab));
    }
    std::vector<StepSample> samples;
    for (double before = model.now(); scheduler.step(); before = model.now())
        samples.push_back({watched.last(), model.now() - before});
    return samples;
}

}  // namespace

std::vector<StepWorkload> spread_workloads(Index context, Index most_tokens) {
    std::vector<StepWorkload> workloads;
    for (const Index texts : {1, 2, 4, 8, 12, 16})
        for (const Index prompt : {context / 64, context / 16, context / 5, context * 2 / 3}) {
            const StepWorkload workload{texts, std::max<Index>(1, prompt), 16};
            if (2 * texts * (workload.prompt + workload.written) <= most_tokens)
                workloads.push_back(workload);
        }
    return workloads;
}

// ANCHOR: measure_steps
std::vector<StepSample> measure_steps(StepModel& model,
                                      const KvShape& shape,
                                      const StepWorkload& workload,
                                      const MeasureOptions& options) {
    check(options.repeats >= 1, "measure steps: ", options.repeats, " repeats");
    run_once(model, shape, workload, options);  // memory is touched for the first time here
    std::vector<std::vector<StepSample>> runs;
    for (Index i = 0; i < options.repeats; ++i)
        runs.push_back(run_once(model, shape, workload, options));
    std::vector<StepSample> samples = runs.front();
    for (std::size_t step = 0; step < samples.size(); ++step) {
        double sum = 0;
        for (const auto& run : runs) sum += run[step].seconds;
        samples[step].seconds = sum / static_cast<double>(options.repeats);
    }
    return samples;
}

// ANCHOR_END: measure_steps

StepFit calibrate(StepModel& model,
                  const KvShape& shape,
                  const ServedModel& served,
                  std::span<const StepWorkload> workloads,
                  const MeasureOptions& options) {
    check(workloads.size() >= 3, "calibrate: expected three workloads at least, found ",
          workloads.size());
    std::vector<StepSample> fitted, held_out;
    for (std::size_t i = 0; i < workloads.size(); ++i) {
        std::vector<StepSample>& to = i % 3 == 1 ? held_out : fitted;
        for (StepSample& sample : measure_steps(model, shape, workloads[i], options))
            to.push_back(std::move(sample));
    }
    StepFit result;
    result.cost = fit_cost(served, fitted);
    result.fitted = std::ssize(fitted);
    result.held_out = std::ssize(held_out);
    result.fitted_errors = prediction_errors(served, result.cost, fitted);
    result.held_out_errors = prediction_errors(served, result.cost, held_out);
    result.samples = std::move(fitted);
    result.samples.insert(result.samples.end(), held_out.begin(), held_out.end());
    return result;
}

}  // namespace kvlab
