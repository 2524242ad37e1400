// stream.cpp - chapter 5: a text longer than the model's context. Positions counted in the
// cache (relative) go on; positions of the text (absolute) end where the table of angles ends.
#include <algorithm>
#include <cstdio>

#include <kvlab/attention/texts.hpp>
#include <kvlab/policies/policy_quality.hpp>
#include <kvlab/policies/slot_cache.hpp>
#include <kvlab/tensor/report.hpp>

#include "app.hpp"

namespace kvlab::app {

namespace {

struct StreamFlags {
    OpenOptions opened = cli::open_options();
    PolicyOptions policy;
    std::string text = cli::default_text("heldout.txt");
    Index tokens = 2048, every = 256;
    std::shared_ptr<OutputFile> json;
};

struct Streamer {
    const char* label;
    PolicyPointer (*policy)(const PolicyOptions& options);
    PositionScheme scheme;
};

constexpr Streamer kStreamers[] = {
    {"sinks, relative", sinks_policy, PositionScheme::relative},
    {"window, relative", window_policy, PositionScheme::relative},
    {"h2o, relative", h2o_policy, PositionScheme::relative},
    {"sinks, absolute", sinks_policy, PositionScheme::absolute},
    {"window, absolute", window_policy, PositionScheme::absolute},
    {"h2o, absolute", h2o_policy, PositionScheme::absolute}};

std::unique_ptr<PolicyStore> store_of(OpenedModel& opened,
                                      const Streamer& streamer,
                                      const PolicyOptions& options) {
    return std::make_unique<SlotCache>(
        opened.decoder.kv_shape(), opened.model->config.context, streamer.policy(options),
        SlotCacheOptions{Reduce::mean, streamer.scheme, 0}, &opened.model->rope, opened.level);
}

// A stretch of the text, and the bytes held at its end.
struct Stretch {
    Index end = 0, bytes_held = 0;
    double bits_per_byte = 0;
};

std::vector<Stretch> stream_text(OpenedModel& opened,
                                 const StreamFlags& flags,
                                 KvStore& store,
                                 const TextWindows& text) {
    const std::vector<Token> input = text.input(0);
    const auto targets = text.targets(0);
    std::vector<Stretch> stretches;
    double bits = 0;
    Index bytes = 0;
    for (std::size_t i = 0; i < input.size(); ++i) {
        const auto next = static_cast<Index>(i) + 1;
        const bool ends = opened.decoder.context_bounds(store) &&
                          store.next_position() >= opened.model->config.context;
        if (ends) break;
        const View<const float> logits =
            opened.decoder.forward(store, std::span(input).subspan(i, 1));
        bits += surprise_bits(logits.flat(), targets[i]);
        bytes += static_cast<Index>(opened.tokenizer->piece(targets[i]).size());
        if (next % flags.every != 0 && next != std::ssize(input)) continue;
        stretches.push_back({next, store.bytes().logical, bits / static_cast<double>(bytes)});
        bits = 0;
        bytes = 0;
    }
    return stretches;
}

int run_stream(const StreamFlags& flags) {
    OpenedModel opened(flags.opened);
    const Index context = opened.model->config.context;
    check(opened.model->rope.positions() > 0, "stream: ", opened.model->config.name,
          " has learned positions; nothing can be counted in the cache");
    check(flags.policy.ratio == 0,
          "--ratio: a share of all that was seen grows with the stream; "
          "give a --budget");
    check(flags.policy.budget < context, "--budget: expected less than the model's context of ",
          context, ", found ", flags.policy.budget);
    const TextWindows text = windows_of(opened, {&flags.text, 1}, flags.tokens, flags.tokens);
    std::printf(
        "%s: %td tokens one by one, trained for %td; budget %td; bits per byte of each "
        "%td tokens\n",
        opened.model->config.name.c_str(), flags.tokens, context, flags.policy.budget,
        flags.every);
    Json json = new_report("step05_policies stream", flags.policy.seed);
    json["model"] = opened.model->config.name;
    json["context"] = context;
    json["budget"] = flags.policy.budget;
    json["every"] = flags.every;
    bool constant = true;
    for (const Streamer& streamer : kStreamers) {
        const auto store = store_of(opened, streamer, flags.policy);
        const std::vector<Stretch> stretches = stream_text(opened, flags, *store, text);
        std::printf("  %-17s", streamer.label);
        Json row{{"policy", streamer.label}, {"seen", store->next_position()}};
        Index full = 0;  // bytes once the budget is reached
        for (const Stretch& one : stretches) {
            std::printf(" %6.3f", one.bits_per_byte);
            row["stretches"].push_back({{"end", one.end},
                                        {"bits_per_byte", one.bits_per_byte},
                                        {"bytes_held", one.bytes_held}});
            if (one.end < flags.policy.budget) continue;
            constant = constant && (full == 0 || full == one.bytes_held);
            full = one.bytes_held;
        }
        std::printf("  %td bytes%s\n", store->bytes().logical,
                    store->next_position() < flags.tokens
                        ? "; ends: no angles behind the context"
                        : "");
        std::fflush(stdout);
        json["policies"].push_back(std::move(row));
    }
    json["memory_constant"] = constant;
    write_json(flags.json, json);
    std::cout << "RESULT tokens=" << flags.tokens
              << " memory_constant=" << (constant ? "yes" : "no") << std::endl;
    return constant ? cli::kHolds : cli::kFails;
}

void add_stream_flags(CLI::App& app, StreamFlags& flags) {
    cli::add_model_flags(app, flags.opened);
    add_policy_flags(app, flags.policy);
    app.add_option("--text", flags.text, "text to run")->transform(cli::text_file());
    cli::add_count(app, "--tokens", flags.tokens, 2, "of the text");
    cli::add_count(app, "--every", flags.every, 1, "tokens of a stretch");
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kStream{
    {.place = 80, .name = "stream", .text = "a text longer than the model's context"},
    add_stream_flags,
    run_stream};

}  // namespace

}  // namespace kvlab::app
