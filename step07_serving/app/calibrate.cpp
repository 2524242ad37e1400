// calibrate.cpp - chapter 7: fits the cost model of a step to steps that this machine really
// runs, and says how well it predicts steps that the fit has not seen.
#include <iostream>

#include <kvlab/attention/command_line.hpp>
#include <kvlab/serving/decoder_steps.hpp>
#include <kvlab/serving/measure_steps.hpp>
#include <kvlab/serving/watched_steps.hpp>
#include <kvlab/tensor/report.hpp>

#include "cost_lines.hpp"

namespace kvlab::app {

namespace {

struct CalibrateFlags {
    OpenOptions opened = cli::open_options();
    Index repeats = 5, most_tokens = 16384, budget = 256;
    std::shared_ptr<OutputFile> json;
};

int run_calibrate(const CalibrateFlags& flags) {
    OpenedModel opened(flags.opened);
    const Config& config = opened.model->config;
    const ServedModel served = served_model(opened);
    DecoderSteps decoder(opened.decoder, opened.level);
    CpuTimeSteps own(decoder);
    StepModel& steps = counts_cpu_time(opened) ? static_cast<StepModel&>(own) : decoder;
    const std::vector<StepWorkload> workloads =
        spread_workloads(std::min<Index>(config.context, 1024), flags.most_tokens);
    const StepFit fit = calibrate(
        steps, opened.decoder.kv_shape(), served, workloads,
        {.repeats = flags.repeats, .token_budget = flags.budget, .vocab = config.vocab});
    std::printf("%s, %s: %td steps of %zu workloads, of each the mean of %td runs\n",
                config.name.c_str(), opened.engine->name().c_str(), fit.fitted + fit.held_out,
                workloads.size(), flags.repeats);
    print_cost(fit.cost);
    const Quartiles seen = quartiles(fit.fitted_errors),
                    unseen = quartiles(fit.held_out_errors);
    const auto percent = [](double share) { return format_number(100 * share); };
    std::printf("  error of prediction     median   a quarter above\n");
    std::printf("  %td steps of the fit %8s %% %10s %%\n", fit.fitted,
                percent(seen.median).c_str(), percent(seen.high).c_str());
    std::printf("  %td steps held out   %8s %% %10s %%\n", fit.held_out,
                percent(unseen.median).c_str(), percent(unseen.high).c_str());
    std::fflush(stdout);
    Json report = new_report("step07_serving calibrate", 0);
    report["model"] = config.name;
    report["engine"] = opened.engine->name();
    report["weight_bytes"] = served.weight_bytes;
    report["bytes_per_token"] = served.bytes_per_token;
    report["cost"] = to_json(fit.cost);
    report["fitted_errors"] = to_json(seen);
    report["held_out_errors"] = to_json(unseen);
    write_json(flags.json, report);
    std::cout << "RESULT steps=" << fit.fitted + fit.held_out
              << " held_out_error=" << format_number(unseen.median) << std::endl;
    return cli::kHolds;
}

void add_calibrate_flags(CLI::App& app, CalibrateFlags& flags) {
    cli::add_model_flags(app, flags.opened);
    cli::add_count(app, "--repeats", flags.repeats, {1, 1000},
                   "runs of each workload, of which a step's mean counts");
    cli::add_count(app, "--most-tokens", flags.most_tokens, {64, 1 << 20},
                   "leave out workloads with more tokens than that");
    cli::add_count(app, "--budget", flags.budget, {16, 1 << 20}, "tokens in a step");
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kCalibrate{
    {.place = 64,
     .name = "calibrate",
     .text = "fit the cost of a step to steps that this machine runs"},
    add_calibrate_flags,
    run_calibrate};

}  // namespace

}  // namespace kvlab::app
