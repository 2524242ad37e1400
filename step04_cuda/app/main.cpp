// step04_cuda - chapter 4: kernels in ladders, and the decoder on them; on a GPU or without
// one.
#include <kvlab/cuda/device.hpp>

#include "app.hpp"
#include "commands.hpp"

namespace {

using namespace kvlab;

void add_json(CLI::App& sub, std::string& json) {
    sub.add_option("--json", json, "also write the figures to this file");
}

CLI::App* add_generate(CLI::App& app, app::GenerateFlags& flags) {
    CLI::App* sub = app.add_subcommand("generate", "go on with a prompt: chapter 3's bits");
    cli::add_model_flags(*sub, flags.session);
    cli::add_sampling_flags(*sub, flags.sampling);
    sub->add_option("-p,--prompt", flags.prompt, "text to go on with")->capture_default_str();
    sub->add_option("-n,--steps", flags.steps, "tokens to generate at most")
        ->check(CLI::Range(0, 1 << 24))
        ->capture_default_str();
    sub->add_option("--batch", flags.batch, "as many sequences at once, with seeds s, s+1, ...")
        ->check(CLI::Range(1, 256))
        ->capture_default_str();
    sub->add_option("--linear", flags.linear,
                    "kernel of the products: naive, coalesced, split, shared, registers; "
                    "default: what suits");
    sub->add_option("--norm", flags.norm, "kernel of the norms: naive, block");
    sub->add_option("--attention", flags.attention,
                    "kernel of attention: naive, staged, fused, split");
    sub->add_flag("--gpu", flags.gpu, "on the GPU; without: under the SIMT executor");
    sub->add_flag("--checked", flags.checked, "every access checked by the executor: slow")
        ->excludes("--gpu");
    sub->add_flag("--compare", flags.compare, "then on the CPU engine, and compare every bit");
    sub->add_flag("--ignore-end", flags.ignore_end, "go on after the model's end of text");
    add_json(*sub, flags.json);
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
    climbing->add_option("--launches", ladders.launches,
                         "also write the shape of every launch to this file");
    add_json(*climbing, ladders.json);
    CLI::App* const estimating =
        app.add_subcommand("estimate", "from counts to the least time on a GPU: not measured");
    estimating->add_option("--gpu", estimate.gpu, "A100, H100 or RTX5090")
        ->capture_default_str();
    add_json(*estimating, estimate.json);
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
