// generate.cpp - chapter 2: text from a model, without a cache, and what that costs.
#include <algorithm>
#include <cstdio>
#include <vector>

#include <kvlab/attention/command_line.hpp>
#include <kvlab/attention/cost.hpp>
#include <kvlab/attention/generate.hpp>
#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/tensor/measure.hpp>
#include <kvlab/tensor/report.hpp>

namespace kvlab::app {

namespace {

struct GenerateFlags {
    OpenOptions opened = cli::open_options();
    SamplingOptions sampling;
    std::string prompt = "In the beginning God created the heaven and the earth. And ";
    Index steps = 96;
    std::shared_ptr<OutputFile> json;
};

struct TokenCost {
    Index length;  // of the text that was run through the model for this token
    double seconds;
    double flops;  // predicted from the shapes
};

// Some rows of the table: the first, the last, and as many between as fit on a screen.
void print_costs(const std::vector<TokenCost>& costs) {
    std::printf("\n  %5s  %12s  %12s  %10s\n", "token", "text length", "ms", "MFLOP");
    const std::size_t every = std::max<std::size_t>(1, costs.size() / 8);
    for (std::size_t i = 0; i < costs.size(); ++i)
        if (i % every == 0 || i + 1 == costs.size())
            std::printf("  %5zu  %12td  %12.3f  %10.2f\n", i + 1, costs[i].length,
                        costs[i].seconds * 1e3, costs[i].flops * 1e-6);
}

void write_report(const GenerateFlags& flags,
                  const OpenedModel& opened,
                  const std::vector<TokenCost>& costs,
                  const Generator& generator) {
    Json report = new_report("step02_attention", flags.sampling.seed);
    report["model"] = opened.model->config.name;
    report["engine"] = opened.engine->name();
    report["checksum"] = generator.checksum().hex();
    for (const TokenCost& cost : costs)
        report["tokens"].push_back(
            {{"length", cost.length}, {"seconds", cost.seconds}, {"flops", cost.flops}});
    write_json(flags.json, report);
}

int run_generate(const GenerateFlags& flags) {
    OpenedModel opened(flags.opened);
    std::cout << describe_model(*opened.model) << "  "
              << "engine                    " << opened.engine->name() << "\n\n";
    EncodeReport losses;
    const std::vector<Token> prompt = opened.encode(flags.prompt, &losses);
    cli::warn_about_losses(losses);

    const Config& config = opened.model->config;
    const Index longest =
        std::min(config.context, static_cast<Index>(prompt.size()) + flags.steps);
    WholeSequence store(opened.decoder.kv_shape(), longest, opened.level);
    Generator generator(opened.decoder);
    generator.add(store, prompt, flags.steps, flags.sampling);
    generator.set_is_end([&](Token token) { return opened.tokenizer->is_end(token); });
    cli::TextStream text(*opened.tokenizer);
    std::vector<TokenCost> costs;
    Stopwatch watch;
    generator.set_on_token([&](Index, Token token, View<const float>) {
        const Index length = static_cast<Index>(generator.tokens(0).size()) - 1;
        costs.push_back({length, watch.seconds(),
                         static_cast<double>(step_flops(config, 0, length).total())});
        text.push(token);
        watch.restart();
    });
    std::cout << flags.prompt << std::flush;
    watch.restart();
    generator.run();
    text.finish();
    print_costs(costs);
    double seconds = 0, flops = 0;
    for (const TokenCost& cost : costs) seconds += cost.seconds, flops += cost.flops;
    std::printf(
        "\n  every token runs the whole text again: %zu tokens, %.3f s, %.3f GFLOP in all\n",
        costs.size(), seconds, flops * 1e-9);
    if (flags.json) write_report(flags, opened, costs, generator);
    std::cout << "RESULT tokens=" << costs.size() << " seconds=" << seconds << " finish='"
              << finish_name(generator.finish(0)) << "' checksum=" << generator.checksum().hex()
              << std::endl;
    return cli::kHolds;
}

void add_generate_flags(CLI::App& app, GenerateFlags& flags) {
    cli::add_model_flags(app, flags.opened);
    cli::add_sampling_flags(app, flags.sampling);
    cli::add_prompt_flags(app, flags.prompt, "text to go on with");
    cli::add_count(app, "-n,--steps", flags.steps, 0, "tokens to generate");
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kGenerate{{.by_default = true}, add_generate_flags, run_generate};

}  // namespace

}  // namespace kvlab::app
