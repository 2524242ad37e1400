// step05_policies - chapter 5: what to forget, and what it costs.
#include "app.hpp"

namespace {

using namespace kvlab;
using app::add_policy_flags;
using app::names_of_policies;

CLI::App* add_compare(CLI::App& app, app::CompareFlags& flags) {
    CLI::App* sub = app.add_subcommand(
        "compare", "every policy on one text: bytes held, bits per byte, KL, recall");
    cli::add_model_flags(*sub, flags.session);
    add_policy_flags(*sub, flags.policy);
    app::add_choice(*sub, flags.names, flags.set);
    sub->add_option("--text", flags.text, "text to run")
        ->transform(cli::text_file(KVLAB_SOURCE_WEIGHTS));
    sub->add_option("--cases", flags.cases, "recall cases of a byte model")
        ->transform(cli::text_file(KVLAB_SOURCE_WEIGHTS));
    const auto count = [sub](const char* name, Index& value, Index least, const char* text) {
        sub->add_option(name, value, text)
            ->check(CLI::Range(least, Index{1} << 24))
            ->capture_default_str();
    };
    count("--window", flags.window, 2, "tokens of a text");
    count("--prompt", flags.prompt, 1, "of these, that go in whole; the others are scored");
    count("--tokens", flags.tokens, 1, "of the text, at most, in whole windows");
    count("--recall", flags.recall, 0, "recall cases for each distance");
    cli::add_json_flag(*sub, flags.json);
    return sub;
}

CLI::App* add_generate(CLI::App& app, app::GenerateFlags& flags) {
    CLI::App* sub = app.add_subcommand("generate", "go on with a prompt, with one policy");
    cli::add_model_flags(*sub, flags.session);
    cli::add_sampling_flags(*sub, flags.sampling);
    add_policy_flags(*sub, flags.policy);
    sub->add_option("--policy", flags.name, "one of them")
        ->check(CLI::IsMember(names_of_policies()))
        ->capture_default_str();
    cli::add_prompt_flags(*sub, flags.prompt, "text to go on with");
    sub->add_option("-n,--steps", flags.steps, "tokens to generate")
        ->check(CLI::Range(0, 1 << 24))
        ->capture_default_str();
    cli::add_json_flag(*sub, flags.json);
    return sub;
}

CLI::App* add_record(CLI::App& app, app::RecordFlags& flags) {
    CLI::App* sub = app.add_subcommand(
        "record", "one text with every policy, step by step, into a file for policy_viewer.py");
    cli::add_model_flags(*sub, flags.session);
    add_policy_flags(*sub, flags.policy);
    sub->add_option("--policy", flags.names, "these alone, a list; default: all")
        ->delimiter(',')
        ->check(CLI::IsMember(names_of_policies()));
    CLI::Option* const cases =
        sub->add_option("--cases", flags.cases, "recall cases of a byte model")
            ->transform(cli::text_file(KVLAB_SOURCE_WEIGHTS));
    const auto count = [sub](const char* name, Index& value, Index least, const char* text) {
        return sub->add_option(name, value, text)
            ->check(CLI::Range(least, Index{1} << 24))
            ->capture_default_str();
    };
    CLI::Option* const distance =
        count("--distance", flags.distance, 1, "of the recall case, in bytes");
    CLI::Option* const number =
        count("--case", flags.number, 1, "which of those with this distance");
    const cli::PromptOptions prompt = cli::add_prompt_flags(
        *sub, flags.prompt, "instead of a case: the text that everything kept goes on with");
    for (CLI::Option* const given : {prompt.text, prompt.file})
        given->excludes(cases)->excludes(distance)->excludes(number);
    count("-n,--steps", flags.steps, 1, "tokens behind the prompt");
    count("--whole", flags.whole, 0,
          "tokens that go in whole; 0: half of a case, all of a prompt");
    cli::add_output_flag(*sub, "-o,--out", flags.out, "the file to write, JSON lines")
        ->required();
    return sub;
}

int run(int argc, char** argv) {
    app::CompareFlags compare;
    app::GenerateFlags generate;
    app::RecordFlags record;
    compare.policy.budget = 64;
    record.policy.budget = 24;  // of a text of some 90 tokens
    CLI::App app{
        "Chapter 5: what to forget, and what it costs. Without a subcommand: compare.\n"
        "Exit codes: 0 done, 1 does not hold or an error, 2 wrong usage.",
        "step05_policies"};
    add_compare(app, compare);
    CLI::App* const generating = add_generate(app, generate);
    CLI::App* const recording = add_record(app, record);
    const std::vector<app::Command> experiments = {app::add_clock(app), app::add_quality(app),
                                                   app::add_memory(app), app::add_needle(app),
                                                   app::add_stream(app)};
    app.require_subcommand(0, 1);
    return cli::run(app, argc, argv, [&] {
        for (SessionOptions* session : {&compare.session, &generate.session, &record.session})
            session->source_weights = KVLAB_SOURCE_WEIGHTS;
        for (const app::Command& command : experiments)
            if (command.app->parsed()) return command.run();
        if (recording->parsed()) return app::run_record(record);
        return generating->parsed() ? app::run_generate(generate) : app::run_compare(compare);
    });
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const std::exception& error) {  // a flag defined twice: a mistake in this file
        std::cerr << "step05_policies: " << error.what() << '\n';
        return cli::kFails;
    }
}
