// generate.cpp - chapter 5: text with one policy.
#include <algorithm>
#include <cstdio>

#include <kvlab/attention/generate.hpp>
#include <kvlab/tensor/measure.hpp>
#include <kvlab/tensor/report.hpp>

#include "app.hpp"

namespace kvlab::app {

namespace {

struct GenerateFlags {
    OpenOptions opened = cli::open_options();
    PolicyOptions policy;
    SamplingOptions sampling;
    std::string name = "sinks", prompt = "In the beginning";
    Index steps = 128;
    std::shared_ptr<OutputFile> json;
};

// A store that forgets takes a prompt of any length, but not more at once than it has memory
// for: then all but the last token go in pieces, each followed by an eviction. What does not
// fit in pieces either is left to the generator, which says that the context is full.
void feed_in_pieces(OpenedModel& opened, PolicyStore& store, std::span<const Token> prompt) {
    while (static_cast<Index>(prompt.size()) - store.next_position() > store.room()) {
        if (store.room() == 0 || opened.decoder.context_bounds(store)) return;
        opened.decoder.forward(
            store, prompt.subspan(usize(store.next_position()), usize(store.room())));
    }
}

// Of what was run before the first token, if anything was.
void print_cost(const Reconstruction* before) {
    if (before == nullptr) return;
    std::printf("  repeated before: %td tokens in %td passes, %.2f times the prompt\n",
                before->tokens(), before->passes(),
                static_cast<double>(before->tokens()) / static_cast<double>(before->prompt()));
}

int run_generate(const GenerateFlags& flags) {
    OpenedModel opened(flags.opened);
    const PolicyEntry& entry = find_policy(flags.name);
    EncodeReport losses;
    const std::vector<Token> prompt = opened.encode(flags.prompt, &losses);
    cli::warn_about_losses(losses);
    check(!entry.needs_future,
          "generate: nobody knows the future of a text that is not written yet; the ",
          entry.name, " can only be compared");
    const Index P = static_cast<Index>(prompt.size());
    PolicyContext context =
        policy_context(opened.decoder, std::min(opened.model->config.context, P + flags.steps));
    context.level = opened.level;
    context.prompt = P;
    look_ahead(context, entry, flags.policy, opened.decoder, prompt);
    const std::unique_ptr<PolicyStore> store = entry.make(context, flags.policy);
    std::printf("%s, %s, %s: %s\n\n%s", opened.model->config.name.c_str(),
                opened.engine->name().c_str(), entry.name, entry.idea, flags.prompt.c_str());
    std::fflush(stdout);

    Stopwatch watch;
    feed_in_pieces(opened, *store, prompt);
    Generator generator(opened.decoder);
    generator.add(*store, prompt, flags.steps, flags.sampling);
    generator.set_is_end([&](Token token) { return opened.tokenizer->is_end(token); });
    cli::TextStream text(*opened.tokenizer);
    generator.set_on_token([&](Index, Token token, View<const float>) { text.push(token); });
    generator.run();
    const double seconds = watch.seconds();
    text.finish();

    const KvBytes bytes = store->bytes();
    const auto tokens = generator.generated(0);
    std::printf("\n  %zu tokens (%s) behind a prompt of %td, in %.3f s\n", tokens.size(),
                finish_name(generator.finish(0)), P, seconds);
    std::printf(
        "  kept: %.1f of %td tokens per layer and KV head; %td bytes held, %td "
        "allocated\n  checksum of all logits %s\n",
        store->mean_kept(), store->next_position(), bytes.logical, bytes.allocated,
        generator.checksum().hex().c_str());
    print_cost(context.reconstruction.get());
    Json json = new_report("step05_policies generate", flags.sampling.seed);
    json["model"] = opened.model->config.name;
    json["policy"] = flags.name;
    json["tokens"] = std::vector<Token>(tokens.begin(), tokens.end());
    json["seen"] = store->next_position();
    json["kept"] = store->mean_kept();
    json["bytes_held"] = bytes.logical;
    json["bytes_allocated"] = bytes.allocated;
    json["checksum"] = generator.checksum().hex();
    json["seconds"] = seconds;
    write_json(flags.json, json);
    std::cout << "RESULT tokens=" << tokens.size() << " kept=" << store->mean_kept()
              << " bytes=" << bytes.logical << " checksum=" << generator.checksum().hex()
              << std::endl;
    return cli::kHolds;
}

void add_generate_flags(CLI::App& app, GenerateFlags& flags) {
    cli::add_model_flags(app, flags.opened);
    cli::add_sampling_flags(app, flags.sampling);
    add_policy_flags(app, flags.policy);
    app.add_option("--policy", flags.name, "one of them")
        ->check(CLI::IsMember(names_of_policies()))
        ->capture_default_str();
    cli::add_prompt_flags(app, flags.prompt, "text to go on with");
    cli::add_count(app, "-n,--steps", flags.steps, 0, "tokens to generate");
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kGenerate{
    {.place = 20, .name = "generate", .text = "go on with a prompt, with one policy"},
    add_generate_flags,
    run_generate};

}  // namespace

}  // namespace kvlab::app
