// ablate.cpp - chapter 3, ablation: the same batches with the cache and without, time and
// memory; and whether a text is the same, greedy and sampled.
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <memory>
#include <vector>

#include <kvlab/tensor/report.hpp>
#include <kvlab/tensor/text.hpp>

#include "ablation.hpp"
#include "app.hpp"

namespace kvlab::app {

namespace {

struct AblateFlags {
    OpenOptions opened = cli::open_options(kFloatModel);
    SamplingOptions sampling = {.temperature = 0.8f, .top_p = 0.95f};
    Index input = 256, output = 32, rounds = 1;
    std::vector<Index> batch = {1, 8, 16};
    std::string cache = "both";
    bool quick = false;
    std::shared_ptr<OutputFile> json;
};

// With the cache and without, as far as both were asked for; the same in all but that.
struct AblationPair {
    std::vector<AblationRun> runs;

    bool comparable() const { return runs.size() == 2; }

    bool same() const { return runs.front().same_as(runs.back()); }
};

AblationPair ablation_pair(const AblateFlags& flags, Index batch, bool sampled) {
    AblationPair pair;
    for (const bool cached : {true, false})
        if (flags.cache == "both" || (flags.cache == "on") == cached) {
            pair.runs.emplace_back();
            pair.runs.back().batch = batch;
            pair.runs.back().cached = cached;
            pair.runs.back().sampled = sampled;
        }
    return pair;
}

// Says on standard error how far it is: a large batch without the cache takes minutes.
void run_pair(const OpenedModel& opened, const AblationJob& job, AblationPair& pair) {
    for (AblationRun& run : pair.runs) {
        run_ablation(opened, job, run);
        std::fprintf(stderr, "batch %td, %s, cache %s: %.2f s\n", run.batch,
                     run.sampled ? "sampled" : "greedy", run.cached ? "on" : "off",
                     run.seconds.back());
    }
}

// The timed pairs, all greedy, and a sampled one with each prompt once.
struct Ablation {
    std::vector<AblationPair> timed;
    AblationPair greedy, sampled;  // with every prompt, for the texts
};

Ablation run_all(const OpenedModel& opened, const AblateFlags& flags, const AblationJob& job) {
    Ablation all;
    for (const Index batch : flags.batch)
        all.timed.push_back(ablation_pair(flags, batch, false));
    AblationRun warm_up;  // counts for nothing: the first run finds no page of memory in place
    run_ablation(opened, job, warm_up);
    for (Index round = 0; round < flags.rounds; ++round)
        for (AblationPair& pair : all.timed) run_pair(opened, job, pair);
    const auto complete =
        std::find_if(all.timed.begin(), all.timed.end(), [](const AblationPair& pair) {
            return pair.runs.front().batch >= kAblationPromptCount;
        });
    all.greedy = ablation_pair(flags, kAblationPromptCount, false);
    if (complete != all.timed.end())
        all.greedy = *complete;  // its first four sequences are the four prompts
    else
        run_pair(opened, job, all.greedy);
    all.sampled = ablation_pair(flags, kAblationPromptCount, true);
    run_pair(opened, job, all.sampled);
    return all;
}

double ablation_rate(const AblationRun& run, Index output) {
    return static_cast<double>(run.batch * output) / quartiles(run.seconds).median;
}

void print_ablation(const Ablation& all, Index output) {
    const auto mb = [](Index bytes) { return static_cast<double>(bytes) / (1 << 20); };
    std::printf("  %5s %6s %10s %10s %10s %10s  %s\n", "cache", "batch", "seconds", "tokens/s",
                "peak, MB", "cache, MB", "checksum of all logits");
    for (const AblationPair& pair : all.timed)
        for (const AblationRun& run : pair.runs)
            std::printf("  %5s %6td %10s %10s %10.2f %10.2f  %s\n", run.cached ? "on" : "off",
                        run.batch, format_number(quartiles(run.seconds).median).c_str(),
                        format_number(ablation_rate(run, output)).c_str(), mb(run.peak_bytes),
                        mb(run.cache_bytes), run.checksum.c_str());
    std::printf("  (peak: activations, keys and values; the weights come on top)\n");
    for (const AblationPair& pair : all.timed)
        if (pair.comparable())
            std::printf("  batch %td: %.2f times as fast with the cache\n",
                        pair.runs.front().batch,
                        quartiles(pair.runs.back().seconds).median /
                            quartiles(pair.runs.front().seconds).median);
}

// Prints the texts of one way of choosing, and adds them to the report.
void print_texts(const OpenedModel& opened, const AblationPair& pair, Json& report) {
    const char* way = pair.runs.front().sampled ? "sampled" : "greedy";
    for (std::size_t i = 0; i < std::size(kAblationPrompts); ++i) {
        const auto& tokens = pair.runs.front().texts[i];
        const std::string text = ablation_text(*opened.tokenizer, tokens);
        const bool same = tokens == pair.runs.back().texts[i];
        std::cout << "  " << kAblationPrompts[i].name << ", " << way << ": " << quote(text)
                  << "\n    text the same: "
                  << (pair.comparable() ? cli::verdict(same) : "not compared") << "\n";
        report["texts"].push_back({{"prompt", kAblationPrompts[i].name},
                                   {"sampling", way},
                                   {"same", pair.comparable() ? Json(same) : Json(nullptr)},
                                   {"text", text}});
    }
    if (pair.comparable())
        std::cout << "  all logits of these, " << way << ", the same: "
                  << cli::verdict(pair.runs.front().checksum == pair.runs.back().checksum)
                  << "\n";
}

Json ablation_json(const AblationRun& run, Index output) {
    return {{"batch", run.batch},
            {"cached", run.cached},
            {"seconds", kvlab::to_json(quartiles(run.seconds))},
            {"tokens_per_second", ablation_rate(run, output)},
            {"peak_bytes", run.peak_bytes},
            {"cache_bytes", run.cache_bytes},
            {"checksum", run.checksum}};
}

AblationJob make_job(const OpenedModel& opened, const AblateFlags& flags) {
    // The last token is never fed.
    cli::check_fits("--input and --output", flags.input + flags.output - 1,
                    opened.model->config);
    AblationJob job;
    for (const AblationPrompt& prompt : kAblationPrompts)
        job.prompts.push_back(prompt_of_length(*opened.tokenizer, prompt.text, flags.input));
    job.output = flags.output;
    job.sampling = flags.sampling;
    return job;
}

int run_ablate(const AblateFlags& flags) {
    check_float_model(flags.opened);
    const OpenedModel opened(flags.opened);
    const AblationJob job = make_job(opened, flags);
    std::printf(
        "%s, %s: input %td tokens, output %td\n"
        "  (four prompts in turn, each at the end of a passage about a harbour)\n",
        opened.model->config.name.c_str(), opened.engine->name().c_str(), flags.input,
        flags.output);
    std::fflush(stdout);
    const Ablation all = run_all(opened, flags, job);
    const bool compared = all.sampled.comparable();
    bool identical = all.greedy.same() && all.sampled.same();
    Json report = new_report("step03_kvcache ablate", flags.sampling.seed);
    report["model"] = opened.model->config.name;
    report["engine"] = opened.engine->name();
    report["input"] = flags.input;
    report["output"] = flags.output;
    report["weight_bytes"] = opened.model->weight_bytes();
    Index rows = 0;
    for (const AblationPair& pair : all.timed) {
        identical = identical && pair.same();
        for (const AblationRun& run : pair.runs) {
            report["rows"].push_back(ablation_json(run, flags.output));
            ++rows;
        }
    }
    print_ablation(all, flags.output);
    std::cout << std::endl;
    print_texts(opened, all.greedy, report);
    print_texts(opened, all.sampled, report);
    report["identical"] = compared ? Json(identical) : Json(nullptr);
    write_json(flags.json, report);
    // Not the same from run to run, so not among the figures.
    std::fprintf(stderr, "the process: at most %.2f MB resident, weights and code included\n",
                 static_cast<double>(resident_peak_bytes()) / (1 << 20));
    std::cout << "\nRESULT rows=" << rows << " identical="
              << (!compared   ? "not_compared"
                  : identical ? "yes"
                              : "no")
              << std::endl;
    return identical ? cli::kHolds : cli::kFails;
}

void add_ablate_flags(CLI::App& app, AblateFlags& flags) {
    cli::add_model_flags(app, flags.opened);
    cli::add_sampling_flags(app, flags.sampling);
    const CLI::Option* input =
        cli::add_count(app, "--input", flags.input, 1, "tokens of each prompt, cut or padded");
    const CLI::Option* output = cli::add_count(app, "-n,--output", flags.output, 1,
                                               "tokens that each sequence generates");
    cli::add_count(app, "--rounds", flags.rounds, 1,
                   "measurements of each, of which medians are shown");
    const CLI::Option* batch =
        cli::add_count(app, "--batch", flags.batch, {1, 256}, "sequences at once, a list");
    app.add_option("--cache", flags.cache, "on, off or both")
        ->check(CLI::IsMember({"on", "off", "both"}))
        ->capture_default_str();
    app.add_flag("--quick", flags.quick,
                 "24 tokens, 6 more, batches 1 and 4, unless said otherwise");
    cli::add_json_flag(app, flags.json);
    app.callback([&flags, input, output, batch] {
        if (!flags.quick) return;
        if (input->count() == 0) flags.input = 24;
        if (output->count() == 0) flags.output = 6;
        if (batch->count() == 0) flags.batch = {1, 4};
    });
}

const cli::Subcommand kAblate{
    {.place = 90,
     .name = "ablate",
     .text = "the cache switched off: time, memory, and the text, greedy and sampled"},
    add_ablate_flags,
    run_ablate};

}  // namespace

}  // namespace kvlab::app
