// regimes.cpp - chapter 3, experiments D5 and R4: prefill, decode and batched decode under the
// roof of this machine; the batch at which decode turns compute-bound; what a context costs.
//
// A step is timed by the wall clock, the roof by the threads' processor time: what other
// programs take of the machine lowers the shares, and not the roof.
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <memory>
#include <vector>

#include "app.hpp"
#include "regime_tables.hpp"

namespace kvlab::app {

namespace {

struct RegimesFlags {
    OpenOptions opened = cli::open_options(kFloatModel);
    std::vector<Index> prefill = {16, 128, 512};
    std::vector<Index> batch = {1, 2, 4, 8, 16, 32, 64};
    std::vector<Index> contexts = {0, 128, 512, 1024, 2048};
    bool prefill_given = false, contexts_given = false;
    Index context = 128, rounds = 5, warm_up = 1;
    double seconds = 0.2;  // that a round of one point lasts at least
    std::shared_ptr<OutputFile> json;
};

// The wanted lengths that fit. One that was asked for by name and does not is an error, one of
// the default's is left out.
std::vector<Index> fitting_lengths(const std::vector<Index>& wanted,
                                   Index longest,
                                   bool given,
                                   const char* flag) {
    std::vector<Index> fitting;
    for (const Index length : wanted) {
        check(length <= longest || !given, flag, " ", length, ": at most ", longest,
              " fit the model's context");
        if (length <= longest)
            fitting.push_back(length);
        else
            std::printf("  (%s %td left out: it does not fit the model's context)\n", flag,
                        length);
    }
    return fitting;
}

RegimesPlan make_plan(const RegimesFlags& flags, Index room) {
    RegimesPlan plan;
    for (const Index T : fitting_lengths(flags.prefill, room, flags.prefill_given, "--prefill"))
        plan.prefill.push_back(plan.add(1, T, 0));
    check(flags.context < room, "--context ", flags.context, ": at most ", room - 1,
          " fit the model's context");
    std::vector<Index> batches = flags.batch;
    batches.push_back(1);  // the line that the plateau is compared with begins there
    std::sort(batches.begin(), batches.end());
    batches.erase(std::unique(batches.begin(), batches.end()), batches.end());
    for (const Index batch : batches) plan.decode.push_back(plan.add(batch, 1, flags.context));
    for (const Index past :
         fitting_lengths(flags.contexts, room - 1, flags.contexts_given, "--contexts"))
        plan.contexts.push_back(plan.add(1, 1, past));
    return plan;
}

// Counts every point, then measures the points and the roof in turns, so that a machine that
// slows down slows all of them. Returns whether every count is as predicted.
bool measure_regimes(Subject& subject,
                     const RegimesFlags& flags,
                     RegimesPlan& plan,
                     Roofs& roofs) {
    FilledCaches caches(subject);
    std::vector<std::unique_ptr<StepPass>> passes;
    bool equal = true;
    for (StepPoint& point : plan.points) {
        passes.push_back(std::make_unique<StepPass>(subject, caches, point));
        point.counted = passes.back()->count();
        point.predicted = predict_step(subject, point.batch, point.T, point.past);
        equal = equal && point.counted == point.predicted;
    }
    for (Index round = -flags.warm_up; round < flags.rounds; ++round) {
        if (round >= 0) roofs.measure(subject);
        for (std::size_t i = 0; i < passes.size(); ++i) {
            const double rate = round_rate(*passes[i], flags.seconds);
            if (round >= 0)
                plan.points[i].seconds.push_back(static_cast<double>(passes[i]->tokens()) /
                                                 rate);
        }
    }
    return equal;
}

int run_regimes(const RegimesFlags& flags) {
    check_float_model(flags.opened);
    Subject subject(flags.opened);
    std::printf("%s, %s\n", subject.config().name.c_str(), subject.engine_name().c_str());
    RegimesPlan plan = make_plan(flags, subject.config().context);
    std::fflush(stdout);
    Roofs roofs;
    const bool equal = measure_regimes(subject, flags, plan, roofs);
    const Turn turn = find_turn(plan, roofs.best());
    print_regimes(plan, roofs, turn);
    std::cout << "  predicted = counted: " << cli::verdict(equal) << std::endl;
    Json report = regimes_report(subject, plan, roofs, turn);
    report["equal"] = equal;
    write_json(flags.json, report);
    std::cout << "\nRESULT equal=" << (equal ? "yes" : "no")
              << " ridge=" << format_number(roofs.best().ridge())
              << " turns_at_predicted=" << turn_name(turn.predicted)
              << " turns_at_measured=" << turn.measured << std::endl;
    return equal ? cli::kHolds : cli::kFails;
}

void add_regimes_flags(CLI::App& app, RegimesFlags& flags) {
    cli::add_model_flags(app, flags.opened);
    const CLI::Option* prefill =
        cli::add_count(app, "--prefill", flags.prefill, 1, "tokens of the prompts, a list");
    cli::add_count(app, "--batch", flags.batch, {1, 256},
                   "sequences that decode at once, a list");
    cli::add_count(app, "--context", flags.context, 0,
                   "tokens that each sequence of a batch has before");
    const CLI::Option* contexts =
        cli::add_count(app, "--contexts", flags.contexts, 0,
                       "of one sequence, for the table by context, a list");
    cli::add_count(app, "--rounds", flags.rounds, 1,
                   "measurements of each, of which medians are shown");
    cli::add_count(app, "--warm-up", flags.warm_up, 0, "rounds before them that do not count");
    app.add_option("--seconds", flags.seconds, "a round repeats a step for at least so long")
        ->check(cli::number_between(0, 3600))
        ->capture_default_str();
    cli::add_json_flag(app, flags.json);
    app.callback([&flags, prefill, contexts] {
        flags.prefill_given = prefill->count() > 0;
        flags.contexts_given = contexts->count() > 0;
    });
}

const cli::Subcommand kRegimes{
    {.place = 80,
     .name = "regimes",
     .text = "prefill and decode under this machine's roof: what bounds which step"},
    add_regimes_flags,
    run_regimes};

}  // namespace

}  // namespace kvlab::app
