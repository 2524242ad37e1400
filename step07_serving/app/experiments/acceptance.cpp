// acceptance.cpp - chapter 7: how many guesses are right, by who makes them and by how many
// are made in a step.
//
// The model goes on with beginnings of a held-out text, first without guesses and then with
// each drafter and each draft length. The tokens must be the same every time.
#include <unistd.h>

#include <cstdio>
#include <set>

#include <kvlab/attention/texts.hpp>
#include <kvlab/serving/decoder_steps.hpp>
#include <kvlab/serving/scheduler.hpp>
#include <kvlab/tensor/report.hpp>
#include <kvlab/weights/convert.hpp>

namespace kvlab::app {

namespace {

struct AcceptanceFlags {
    OpenOptions opened = cli::open_options();
    std::vector<std::string> texts = {cli::default_text("heldout.txt")};
    Index count = 8, prompt = 128, steps = 96;
    std::vector<Index> lengths = {1, 2, 3, 4, 5, 6, 7, 8};
    std::vector<Index> layers;  // empty: a third and two thirds of the model's
    std::string bits = "q4_0";  // of the weights of a drafter
    SamplingOptions sampling = {.temperature = 0};
    std::shared_ptr<OutputFile> json;
};

// The same model with its matrices in another type: through a file, as a user would make it.
std::shared_ptr<const Model> model_in_bits(const OpenedModel& opened, TensorType type) {
    const std::filesystem::path path =
        std::filesystem::temp_directory_path() /
        concat("kvlab_draft_", type_name(type), "_", ::getpid(), ".gguf");
    try {
        convert(opened.file, path, type);
        std::shared_ptr<const Model> model = load_model(GgufFile::open(path), *opened.engine);
        std::filesystem::remove(path);
        return model;
    } catch (...) {
        std::error_code ignored;
        std::filesystem::remove(path, ignored);
        throw;
    }
}

struct NamedDrafter {
    std::string name;
    std::function<std::unique_ptr<Drafter>()> make;  // it remembers texts, so one for each run
};

std::vector<NamedDrafter> drafters_of(const AcceptanceFlags& flags, const OpenedModel& opened) {
    const Index L = opened.model->config.layers;
    std::set<Index> layers(flags.layers.begin(), flags.layers.end());
    if (layers.empty()) layers = {std::max<Index>(1, L / 3), std::max<Index>(1, 2 * L / 3)};
    std::vector<NamedDrafter> all{{"look-up", [] { return make_lookup_drafter(); }}};
    for (const Index count : layers) {
        const auto model = first_layers(opened.model, count);
        all.push_back({concat("first ", count, " of ", L, " layers"),
                       [model, &opened] { return make_model_drafter(model, *opened.engine); }});
    }
    const auto model = model_in_bits(opened, *tensor_type_from_name(flags.bits));
    all.push_back({concat("the same in ", flags.bits),
                   [model, &opened] { return make_model_drafter(model, *opened.engine); }});
    return all;
}

struct AcceptanceRun {
    std::vector<std::vector<Token>> texts;  // what was written
    Index drafted = 0, accepted = 0;
    Index parts = 0, written = 0;  // of texts that decode, in all steps; tokens that these kept

    double rate() const {
        return drafted > 0 ? static_cast<double>(accepted) / static_cast<double>(drafted) : 0;
    }

    double tokens_per_step() const {
        return static_cast<double>(written) / static_cast<double>(parts);
    }
};

AcceptanceRun run_with(OpenedModel& opened,
                       const AcceptanceFlags& flags,
                       const std::vector<std::vector<Token>>& prompts,
                       Drafter* drafter,
                       Index length) {
    DecoderSteps steps(opened.decoder, opened.level);
    const Index texts = std::ssize(prompts), longest = flags.prompt + 1 + flags.steps;
    PagePool pool(opened.decoder.kv_shape(),
                  {.pages = texts * blocks_for(longest + length, kTile)});
    Scheduler scheduler(steps, pool,
                        {.max_running = texts,
                         .token_budget = texts * (longest + length),
                         .draft_tokens = drafter == nullptr ? 0 : length},
                        nullptr, drafter);
    for (const std::vector<Token>& prompt : prompts)
        scheduler.add({.prompt = prompt,
                       .max_tokens = flags.steps,
                       .choice = {.sampling = flags.sampling}});
    AcceptanceRun run;
    for (bool prompts_fed = false; scheduler.step(); prompts_fed = true)
        if (prompts_fed)  // the first step has all prompts, and gives a token each
            run.parts += std::ssize(scheduler.last_step());
    run.drafted = scheduler.counts().drafted;
    run.accepted = scheduler.counts().accepted;
    run.written = scheduler.counts().written - texts;
    for (Index i = 0; i < texts; ++i) {
        const auto written = scheduler.generated(i);
        run.texts.emplace_back(written.begin(), written.end());
    }
    return run;
}

std::vector<std::vector<Token>> prompts_of(const AcceptanceFlags& flags,
                                           const OpenedModel& opened) {
    cli::check_fits("acceptance: --prompt and --steps", flags.prompt + 1 + flags.steps,
                    opened.model->config);
    const TextWindows windows = windows_of(opened, flags.texts, flags.prompt + flags.steps,
                                           flags.count * (flags.prompt + flags.steps));
    std::vector<std::vector<Token>> prompts;
    for (Index w = 0; w < windows.count(); ++w) {
        const auto text = windows.targets(w).first(usize(flags.prompt));
        prompts.emplace_back();
        const Token first = first_token(*opened.tokenizer);
        if (first != kNoToken) prompts.back().push_back(first);
        prompts.back().insert(prompts.back().end(), text.begin(), text.end());
    }
    return prompts;
}

Json to_json(const AcceptanceRun& run, const std::string& drafter, Index length, bool equal) {
    return {{"drafter", drafter},     {"length", length},
            {"drafted", run.drafted}, {"accepted", run.accepted},
            {"rate", run.rate()},     {"steps", run.parts},
            {"written", run.written}, {"tokens_per_step", run.tokens_per_step()},
            {"equal", equal}};
}

int run_acceptance(const AcceptanceFlags& flags) {
    OpenedModel opened(flags.opened);
    const auto prompts = prompts_of(flags, opened);
    const std::string name = opened.model->config.name, files = names_of_files(flags.texts);
    std::printf("%s, %s: %s, %zu prompts of %td tokens, %td tokens each, temperature %g\n",
                name.c_str(), opened.engine->name().c_str(), files.c_str(), prompts.size(),
                flags.prompt, flags.steps, static_cast<double>(flags.sampling.temperature));
    Json report = new_report("step07_serving acceptance", flags.sampling.seed);
    report["model"] = name;
    report["engine"] = opened.engine->name();
    report["text"] = files;
    report["prompts"] = prompts.size();
    report["prompt"] = flags.prompt;
    report["steps"] = flags.steps;
    report["temperature"] = flags.sampling.temperature;
    const AcceptanceRun plain = run_with(opened, flags, prompts, nullptr, 0);
    std::printf("  %-24s %8s %8s %8s %8s\n", "guesses of", "length", "right", "of",
                "tokens a step");
    bool equal = true;
    for (const NamedDrafter& drafter : drafters_of(flags, opened))
        for (const Index length : flags.lengths) {
            const auto guesser = drafter.make();
            const AcceptanceRun run = run_with(opened, flags, prompts, guesser.get(), length);
            const bool same = run.texts == plain.texts;
            equal = equal && same;
            report["rows"].push_back(to_json(run, drafter.name, length, same));
            std::printf("  %-24s %8td %7.1f%% %8td %8.2f%s\n", drafter.name.c_str(), length,
                        100 * run.rate(), run.drafted, run.tokens_per_step(),
                        same ? "" : "  THE TEXT DIFFERS");
            std::fflush(stdout);
        }
    report["equal"] = equal;
    write_json(flags.json, report);
    std::cout << "RESULT rows=" << report["rows"].size() << " equal=" << (equal ? "yes" : "no")
              << std::endl;
    return equal ? cli::kHolds : cli::kFails;
}

void add_acceptance_flags(CLI::App& app, AcceptanceFlags& flags) {
    cli::add_model_flags(app, flags.opened);
    app.add_option("--text", flags.texts, "texts that are gone on with, a list")
        ->delimiter(',')
        ->transform(cli::text_file());
    cli::add_count(app, "--count", flags.count, 1, "prompts");
    cli::add_count(app, "--prompt", flags.prompt, 1, "tokens of a prompt");
    cli::add_count(app, "-n,--steps", flags.steps, 2, "tokens that each is gone on with");
    cli::add_count(app, "--lengths", flags.lengths, {1, 64}, "guesses in a step, a list");
    cli::add_count(app, "--layers", flags.layers, 1,
                   "of drafters made of the first layers, a list; default: 1/3, 2/3 of all");
    app.add_option("--bits", flags.bits, "type of the weights of the drafter in fewer bits")
        ->check(CLI::IsMember({"f16", "q8_0", "q4_0", "q4_1", "q4_k"}))
        ->capture_default_str();
    cli::add_sampling_flags(app, flags.sampling);
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kAcceptance{
    {.place = 85,
     .name = "acceptance",
     .text = "how many guesses are right, by drafter and draft length"},
    add_acceptance_flags,
    run_acceptance};

}  // namespace

}  // namespace kvlab::app
