// step03_kvcache - chapter 3: generation with a cache, and the proof that it changes no bit.
#include "app.hpp"
#include "commands.hpp"

namespace {

using namespace kvlab;

CLI::App* add_generate(CLI::App& app, app::GenerateFlags& flags) {
    CLI::App* sub = app.add_subcommand("generate", "go on with a prompt, or chat");
    cli::add_model_flags(*sub, flags.session);
    cli::add_sampling_flags(*sub, flags.sampling);
    cli::add_prompt_flags(*sub, flags.prompt,
                          "text to go on with (with --chat: what the user says)");
    sub->add_option("-n,--steps", flags.steps, "tokens to generate at most")
        ->check(CLI::Range(0, 1 << 24))
        ->capture_default_str();
    sub->add_option("--batch", flags.batch, "as many sequences at once, with seeds s, s+1, ...")
        ->check(CLI::Range(1, 256))
        ->capture_default_str();
    sub->add_option("--chunk", flags.chunk,
                    "feed the prompt in pieces of this many tokens; 0: whole")
        ->check(CLI::Range(0, 1 << 24))
        ->capture_default_str();
    sub->add_flag("--no-cache", flags.no_cache, "run the whole text again for every token");
    sub->add_flag("--compare", flags.compare,
                  "with the cache, then without, and compare every bit")
        ->excludes("--no-cache");
    sub->add_flag("--ignore-end", flags.ignore_end, "go on after the model's end of text");
    CLI::Option* const chat =
        sub->add_flag("--chat", flags.chat,
                      "talk to the model in its chat format; without -p: read lines")
            ->excludes("--batch")
            ->excludes("--compare")
            ->excludes("--no-cache")
            ->excludes("--ignore-end");
    sub->add_option("--system", flags.system,
                    "with --chat: the message before the first; default: the model's own")
        ->needs(chat);
    cli::add_json_flag(*sub, flags.json);
    cli::add_output_flag(
        *sub, "--trace", flags.trace,
        "record every number of the run in this file, for diverge and viewer.py")
        ->excludes("--chat")
        ->excludes("--batch");
    return sub;
}

CLI::App* add_verify(CLI::App& app, app::VerifyFlags& flags) {
    CLI::App* sub = app.add_subcommand(
        "verify", "cached = uncached: tokens, every logit, the cache's contents");
    sub->add_option("-m,--model", flags.models,
                    "GGUF file or name, may be repeated; default: every model that is there");
    sub->add_option("--threads", flags.session.threads,
                    "threads; 0: chosen by the model's size")
        ->check(CLI::Range(0, 256))
        ->capture_default_str();
    sub->add_option("--simd", flags.session.simd,
                    "portable, avx2 or avx512; default: the best here");
    cli::add_sampling_flags(*sub, flags.sampling);
    cli::add_prompt_flags(
        *sub, flags.prompts,
        "a prompt of the batch, may be repeated; default: prompts of 1, 5 and 8 tokens");
    sub->add_option("-n,--steps", flags.steps, "tokens to generate per prompt")
        ->check(CLI::Range(1, 1 << 24))
        ->capture_default_str();
    cli::add_json_flag(*sub, flags.json);
    return sub;
}

CLI::App* add_speed(CLI::App& app, app::SpeedFlags& flags) {
    CLI::App* sub = app.add_subcommand(
        "speed", "tokens per second of a prompt and of generation: forward pass and argmax");
    cli::add_model_flags(*sub, flags.session);
    const auto count = [sub](const char* name, Index& value, Index least, const char* text) {
        sub->add_option(name, value, text)
            ->check(CLI::Range(least, Index{1} << 24))
            ->capture_default_str();
    };
    count("--prefill", flags.prefill, 0, "tokens of the prompt, fed in one step; 0: none");
    sub->add_flag("--all-logits", flags.all_logits,
                  "of the prompt, instead of its last token's alone");
    count("--context", flags.context, 0, "tokens that each sequence has before it generates");
    count("--tokens", flags.tokens, 0, "tokens that each sequence generates; 0: none");
    sub->add_option("--batch", flags.batch, "sequences that generate at once")
        ->check(CLI::Range(1, 256))
        ->capture_default_str();
    count("--rounds", flags.rounds, 1, "measurements, of which the median is shown");
    count("--warm-up", flags.warm_up, 0, "rounds before them that do not count");
    sub->add_option("--seconds", flags.seconds,
                    "a round repeats what it measures for at least so long")
        ->check(cli::number_between(0, 3600))
        ->capture_default_str();
    sub->add_flag("--wait", flags.wait,
                  "say READY, then a round for each line of standard input, then say ROUND: to "
                  "take turns with another program");
    sub->add_option_function<std::string>(
        "--json",
        [&flags](const std::string& path) {
            flags.json_on_standard_output = path == "-";
            if (path != "-") flags.json = std::make_shared<OutputFile>(path);
        },
        "also write the figures to this file; -: to standard output, and the table to "
        "standard error");
    sub->callback([&flags] {
        if (flags.prefill == 0 && flags.tokens == 0)
            throw CLI::ValidationError("--prefill 0 and --tokens 0", "nothing to measure");
    });
    return sub;
}

int run(int argc, char** argv) {
    app::GenerateFlags generate;
    app::VerifyFlags verify;
    app::SpeedFlags speed;
    CLI::App app{
        "Chapter 3: the KV cache. Without a subcommand: verify.\n"
        "Exit codes: 0 holds, 1 does not hold or an error, 2 wrong usage.",
        "step03_kvcache"};
    CLI::App* const generating = add_generate(app, generate);
    CLI::App* const speeding = add_speed(app, speed);
    add_verify(app, verify);
    const app::Command experiments[] = {app::add_count(app),   app::add_memory(app),
                                        app::add_clock(app),   app::add_diverge(app),
                                        app::add_regimes(app), app::add_ablate(app),
                                        app::add_quality(app)};
    app.require_subcommand(0, 1);
    return cli::run(app, argc, argv, [&] {
        generate.session.source_weights = verify.session.source_weights =
            speed.session.source_weights = KVLAB_SOURCE_WEIGHTS;
        generate.prompt_given =
            generating->count("--prompt") > 0 || generating->count("--file") > 0;
        generate.system_given = generating->count("--system") > 0;
        if (generating->parsed())
            return generate.chat ? app::run_chat(generate) : app::run_generate(generate);
        if (speeding->parsed()) return app::run_speed(speed);
        for (const app::Command& experiment : experiments)
            if (experiment.app->parsed()) return experiment.run();
        return app::run_verify(verify);
    });
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const std::exception& error) {  // a flag defined twice: a mistake in this file
        std::cerr << "step03_kvcache: " << error.what() << '\n';
        return cli::kFails;
    }
}
