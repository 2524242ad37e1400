// generate.cpp - chapter 8: text from one trained model.
#include <algorithm>
#include <cstdio>

#include <kvlab/attention/generate.hpp>
#include <kvlab/tensor/measure.hpp>
#include <kvlab/tensor/report.hpp>

#include "models.hpp"

namespace kvlab::app {

namespace {

struct GenerateFlags {
    std::string folder, name = "gqa", prompt = "In the beginning";
    EngineFlags engine;
    SamplingOptions sampling;
    Index steps = 128, context = 0;
    std::shared_ptr<OutputFile> json;
};

int run_generate(const GenerateFlags& flags) {
    const auto opened = open_mixers(flags.folder, flags.name, flags.engine, flags.context);
    EncodeReport losses;
    EncodeOptions encode;
    encode.add_bos = opened->tokenizer->wants_bos();
    const std::vector<Token> prompt = opened->tokenizer->encode(flags.prompt, encode, &losses);
    cli::warn_about_losses(losses);
    const MixedModel& model = opened->decoder.mixed_model();
    const Index P = std::ssize(prompt);
    const auto store =
        opened->make_store(std::min(opened->decoder.config().context, P + flags.steps));
    std::printf("%s (%s), %s\n\n%s", opened->name.c_str(), kinds_of_layers(model.names).c_str(),
                opened->engine->name().c_str(), flags.prompt.c_str());
    std::fflush(stdout);

    const Stopwatch watch;
    Generator generator(opened->decoder);
    generator.add(*store, prompt, flags.steps, flags.sampling);
    generator.set_is_end([&](Token token) { return opened->tokenizer->is_end(token); });
    cli::TextStream text(*opened->tokenizer);
    generator.set_on_token([&](Index, Token token, View<const float>) { text.push(token); });
    generator.run();
    const double seconds = watch.seconds();
    text.finish();

    const KvBytes bytes = store->bytes();
    const auto tokens = generator.generated(0);
    std::printf("\n  %zu tokens (%s) behind a prompt of %td, in %.3f s\n", tokens.size(),
                finish_name(generator.finish(0)), P, seconds);
    std::printf("  memory of %td tokens: %td bytes held, %td allocated\n",
                store->next_position(), bytes.logical, bytes.allocated);
    Json json = new_report("step08_architectures generate", flags.sampling.seed);
    json["model"] = opened->name;
    json["tokens"] = std::vector<Token>(tokens.begin(), tokens.end());
    json["seen"] = store->next_position();
    json["bytes_held"] = bytes.logical;
    json["bytes_allocated"] = bytes.allocated;
    json["checksum"] = generator.checksum().hex();
    json["seconds"] = seconds;
    write_json(flags.json, json);
    std::cout << "RESULT tokens=" << tokens.size() << " bytes=" << bytes.logical
              << " checksum=" << generator.checksum().hex() << std::endl;
    return cli::kHolds;
}

void add_generate_flags(CLI::App& app, GenerateFlags& flags) {
    app.add_option("-m,--mixer", flags.name, "a trained model's name")->capture_default_str();
    add_folder_flag(app, flags.folder);
    add_mixer_engine_flags(app, flags.engine);
    cli::add_sampling_flags(app, flags.sampling);
    cli::add_prompt_flags(app, flags.prompt, "text to go on with");
    cli::add_count(app, "-n,--steps", flags.steps, 0, "tokens to generate");
    cli::add_count(app, "--context", flags.context, {0, 1 << 20},
                   "positions, at most; 0: those of the training");
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kGenerate{
    {.place = 30, .name = "generate", .text = "go on with a prompt, with one model"},
    add_generate_flags,
    run_generate};

}  // namespace

}  // namespace kvlab::app
