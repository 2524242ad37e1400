// step04_cuda - chapter 4: kernels in ladders, and the decoder on them; on a GPU or without
// one.
#include <kvlab/cuda/ladders.hpp>

#include "commands.hpp"
#include "gpus.hpp"

namespace {

using namespace kvlab;

CLI::App* add_generate(CLI::App& app, app::GenerateFlags& flags) {
    CLI::App* sub = app.add_subcommand("generate", "go on with a prompt: chapter 3's bits");
    cli::add_model_flags(*sub, flags.session);
    cli::add_sampling_flags(*sub, flags.sampling);
    cli::add_prompt_flags(*sub, flags.prompt, "text to go on with");
    sub->add_option("-n,--steps", flags.steps, "tokens to generate at most")
        ->check(CLI::Range(0, 1 << 24))
        ->capture_default_str();
    sub->add_option("--batch", flags.batch, "as many sequences at once, with seeds s, s+1, ...")
        ->check(CLI::Range(1, 256))
        ->capture_default_str();
    const auto kernel = [sub](const char* name, std::string& value, const char* what,
                              auto rungs) {
        std::vector<std::string> names;
        for (const auto& rung : rungs) names.push_back(rung.name);
        sub->add_option(name, value, concat("kernel of ", what, "; default: what suits"))
            ->check(CLI::IsMember(names));
    };
    kernel("--linear", flags.linear, "the products", linear_rungs());
    kernel("--norm", flags.norm, "the norms", norm_rungs());
    kernel("--attention", flags.attention, "attention", attention_rungs());
    sub->add_option("--device", flags.device,
                    "auto: the GPU if there is one, else the executor")
        ->check(CLI::IsMember(std::vector<std::string>{"auto", "executor", "gpu"}))
        ->capture_default_str();
    sub->add_flag("--checked", flags.checked, "under the executor, every access checked: slow");
    sub->add_flag("--compare", flags.compare, "then on the CPU engine, and compare every bit");
    sub->add_flag("--ignore-end", flags.ignore_end, "go on after the model's end of text");
    cli::add_json_flag(*sub, flags.json);
    return sub;
}

int run(int argc, char** argv) {
    app::LadderFlags ladders;
    app::EstimateFlags estimate;
    app::GenerateFlags generate;
    CLI::App app{
        "Chapter 4: CUDA kernels, on a GPU or without one. Without a subcommand: ladders.\n"
        "Exit codes: 0 holds, 1 does not hold or an error, 2 wrong usage.",
        "step04_cuda"};
    CLI::App* const climbing =
        app.add_subcommand("ladders", "every kernel: what it moves, and that no bit changes");
    climbing
        ->add_option("-m,--model", ladders.model, "GGUF file or name of the decoder's model")
        ->capture_default_str();
    cli::add_output_flag(*climbing, "--launches", ladders.launches,
                         "also write the shape of every launch to this file");
    cli::add_json_flag(*climbing, ladders.json);
    CLI::App* const estimating =
        app.add_subcommand("estimate", "from counts to the least time on a GPU: not measured");
    std::vector<std::string> gpus;
    for (const app::Gpu& gpu : app::kGpus) gpus.push_back(gpu.name);
    estimating->add_option("--gpu", estimate.gpu, "of which GPU")
        ->check(CLI::IsMember(gpus))
        ->capture_default_str();
    cli::add_json_flag(*estimating, estimate.json);
    CLI::App* const generating = add_generate(app, generate);
    CLI::App* const showing = app.add_subcommand(
        "simt", "the executor: a right kernel's counters, a wrong one's report");
    app.require_subcommand(0, 1);
    return cli::run(app, argc, argv, [&] {
        generate.session.source_weights = KVLAB_SOURCE_WEIGHTS;
        if (generating->parsed()) return app::run_generate(generate);
        if (estimating->parsed()) return app::run_estimate(estimate);
        if (showing->parsed()) return app::run_simt();
        return app::run_ladders_command(ladders);
    });
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const std::exception& error) {  // a flag defined twice: a mistake in this file
        std::cerr << "step04_cuda: " << error.what() << '\n';
        return kvlab::cli::kFails;
    }
}
