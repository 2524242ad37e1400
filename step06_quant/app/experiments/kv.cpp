// kv.cpp - chapter 6: what every format of the cache changes in what a model says next, keys
// and values together and apart, with all that may be combined with them.
#include <cstdio>

#include "kv_formats.hpp"

#include <kvlab/attention/command_line.hpp>

namespace kvlab::app {

namespace {

struct KvFlags {
    TrialFlags trial;
    QuantOptions options;
    std::vector<std::string> codes;  // empty: all that fit
    std::vector<std::string> sides = {"both", "keys", "values"};
    bool inject = false;
    Index score_from = 0;
};

int run_kv(const KvFlags& flags) {
    Trial trial(flags.trial);
    trial.score_from = flags.score_from > 0 ? flags.score_from : flags.options.residual;
    OpenedModel& opened = trial.opened;
    if (flags.inject)
        opened.model = with_outliers(opened.file, opened.model->config, *opened.engine);
    const RopeTable* const rope = rope_of(*opened.model);
    const KvShape shape = opened.decoder.kv_shape();
    const KvRows table = kv_rows(shape, flags.options, flags.codes, flags.sides);
    std::vector<Variant> variants;
    std::vector<Json> labels;
    for (const KvRow& row : table.rows) {
        variants.push_back(kv_variant(opened, row, rope));
        Json label{{"format", row.code->name},
                   {"of", row.code == &formats::f32 ? "-" : row.side}};
        label.update(kv_sizes(shape, row.options, rope, trial.score_from, trial.text.window()));
        labels.push_back(std::move(label));
    }
    std::printf("%s, %s: %td windows of %td tokens%s%s%s", opened.model->config.name.c_str(),
                opened.engine->name().c_str(), trial.text.count(), trial.text.window(),
                flags.options.turn ? ", rotated" : "",
                flags.options.before_rope ? ", keys before RoPE" : "",
                flags.inject ? ", two channels of each key 20 times as large" : "");
    if (flags.options.sinks > 0) std::printf(", %td sinks in f32", flags.options.sinks);
    std::printf("\n");
    trial.print_head(labels.front());
    trial.run(variants, labels);
    for (const std::string& reason : table.refused)
        std::printf("  refused: %s\n", reason.c_str());
    print_kv_footer(trial);
    trial.print_notes();
    // The float cache has to say what the model without a cache says, whatever stands beside
    // it; rotated it may not. A divergence that rounding made may also be below 0.
    const Shift& floats = trial.rows().front().shift;
    const bool plain = floats.kl_quantile(0) == 0.0 && floats.max_kl() == 0.0;
    Json report = trial.report("step06_quant kv");
    report["rotate"] = flags.options.turn;
    report["before_rope"] = flags.options.before_rope;
    report["sinks"] = flags.options.sinks;
    report["residual"] = flags.options.residual;
    report["seed"] = flags.options.seed;
    report["inject"] = flags.inject;
    report["refused"] = table.refused;
    write_json(flags.trial.json, report);
    std::cout << "RESULT rows=" << trial.rows().size() << " refused=" << table.refused.size()
              << " f32_is_plain=" << (plain ? "yes" : "no") << std::endl;
    return plain || flags.options.turn ? cli::kHolds : cli::kFails;
}

void add_kv_flags(CLI::App& app, KvFlags& flags) {
    flags.trial.opened.model = "deep";
    flags.trial.calibration = 0;
    flags.trial.baseline = "q4_0";
    add_trial_flags(app, flags.trial);
    app.add_option("--codes", flags.codes, "these beside f32, a list; default: all")
        ->delimiter(',')
        ->check(CLI::IsMember(format_names(coded_formats())));
    app.add_option("--of", flags.sides, "of both, keys alone, values alone: a list")
        ->delimiter(',')
        ->check(CLI::IsMember({"both", "keys", "values"}))
        ->capture_default_str();
    app.add_flag("--rotate", flags.options.turn, "rotate by a Hadamard matrix first");
    app.add_flag("--pre-rope", flags.options.before_rope, "keep keys before RoPE")
        ->excludes("--rotate");
    cli::add_count(app, "--sinks", flags.options.sinks, {0, 1 << 20},
                   "first tokens that stay f32");
    app.add_option("--residual", flags.options.residual, "KIVI: tokens that stay f16")
        ->check(CLI::Range(32, 512))  // IsMember takes "" for a number
        ->check(CLI::IsMember(kResiduals))
        ->capture_default_str();
    cli::add_count(app, "--score-from", flags.score_from, {0, 1 << 20},
                   "positions of a window from here on are judged by themselves, too; 0: from "
                   "--residual on");
    app.add_option("--seed", flags.options.seed, "TurboQuant: of its turn and its sketch")
        ->capture_default_str();
    app.add_flag("--inject", flags.inject, "two channels of each key 20 times as large");
}

const cli::Subcommand kKv{
    {.place = 10, .name = "kv", .text = "every format of the cache on a model's text"},
    add_kv_flags,
    run_kv};

}  // namespace

}  // namespace kvlab::app
