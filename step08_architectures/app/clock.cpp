// clock.cpp - chapter 8: the time of a decoded token by the length of the text before it, with
// gqa beside each model in the same rounds. Where no trained model is there, its weights are
// drawn: time does not depend on them.
#include <algorithm>
#include <cstdio>

#include <kvlab/tensor/report.hpp>

#include "token_time.hpp"

namespace kvlab::app {

namespace {

struct ClockFlags {
    ModelsFlags models;
    std::vector<Index> lengths = {64, 512, 2048, 8192};
    TimeFlags time{.prefills = 3};
    std::shared_ptr<OutputFile> json;
};

constexpr const char* kBeside = "gqa";

// gqa first.
std::vector<std::string> clocked_models(const std::vector<std::string>& wanted) {
    std::vector<std::string> names = {kBeside};
    const auto add = [&](const std::string& name) {
        if (std::ranges::find(names, name) == names.end()) names.push_back(name);
    };
    for (const std::string& name : wanted) add(name);
    if (wanted.empty())
        for (const MixedShape& shape : all_shapes()) add(shape.name);
    return names;
}

std::unique_ptr<OpenedMixers> open_or_draw(const ModelsFlags& flags,
                                           const std::string& name,
                                           Index context) {
    const MixedShape* const shape = find_shape_of(name);
    if (shape == nullptr || !find_mixer_file(flags.folder, name).empty())
        return open_mixers(flags.folder, name, flags.engine, context);
    std::printf("%s: no trained model is there, its weights are drawn\n", name.c_str());
    return std::make_unique<OpenedMixers>(name, *draw_shape(*shape), flags.engine, context);
}

// Prints a row, and returns it for the report.
Json clock_row(const TimedText& text, const TimedText& gqa) {
    const Quartiles seconds = quartiles(text.seconds);
    const double to_gqa = time_ratio(text, gqa), rate = prefill_tokens_per_second(text);
    std::printf(
        "  %-12s %7td %10.4f %19s %9.3f %14.0f %12td %5s\n", text.opened->name.c_str(),
        text.length, seconds.median * 1e3,
        concat(format_number(seconds.low * 1e3), " - ", format_number(seconds.high * 1e3))
            .c_str(),
        to_gqa, rate, text.bytes.logical, bytes_as_form(text) ? "yes" : "NO");
    return {{"model", text.opened->name},      {"drawn", text.opened->tokenizer == nullptr},
            {"length", text.length},           {"seconds", to_json(seconds)},
            {"time_of_gqa", to_gqa},           {"prefill_tokens_per_second", rate},
            {"bytes_held", text.bytes.logical}};
}

int run_clock(const ClockFlags& flags) {
    const Index longest = *std::ranges::max_element(flags.lengths);
    std::vector<std::unique_ptr<OpenedMixers>> models;
    for (const std::string& name : clocked_models(flags.models.names))
        models.push_back(open_or_draw(flags.models, name, longest + flags.time.added()));
    std::printf("%s; the median of the rounds, %td of %td tokens\n",
                models[0]->engine->name().c_str(), flags.time.rounds, flags.time.tokens);
    std::printf("  %-12s %7s %10s %19s %9s %14s %12s %5s\n", "model", "tokens", "ms/token",
                "quartiles", "of gqa's", "prefill, tok/s", "bytes held", "form");
    Json json = new_report("step08_architectures clock", 0);
    json["engine"] = models[0]->engine->name();
    json["threads"] = flags.models.engine.threads;
    json["rows"] = Json::array();
    bool form = true;
    for (const Index length : flags.lengths) {
        const std::vector<TimedText> texts = time_texts(models, length, flags.time);
        for (const TimedText& text : texts) {
            json["rows"].push_back(clock_row(text, texts[0]));
            form = form && bytes_as_form(text);
        }
        std::fflush(stdout);
    }
    std::printf("  form: the bytes held are those of the closed form.\n");
    write_json(flags.json, json);
    std::cout << "RESULT rows=" << json["rows"].size() << " form=" << (form ? "yes" : "no")
              << std::endl;
    return form ? cli::kHolds : cli::kFails;
}

void add_clock_flags(CLI::App& app, ClockFlags& flags) {
    add_folder_flag(app, flags.models.folder);
    app.add_option("-m,--mixer", flags.models.names,
                   "these models beside gqa, a list, or repeated; default: all")
        ->delimiter(',');
    add_mixer_engine_flags(app, flags.models.engine);
    cli::add_count(app, "--lengths", flags.lengths, {1, 1 << 16}, "tokens before, a list");
    cli::add_count(app, "--tokens", flags.time.tokens, 1, "tokens of a round");
    cli::add_count(app, "--rounds", flags.time.rounds, 1, "that count");
    cli::add_count(app, "--prefills", flags.time.prefills, 1,
                   "times that the text before is read");
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kClock{
    {.place = 40, .name = "clock", .text = "time per token by length, with gqa beside it"},
    add_clock_flags,
    run_clock};

}  // namespace

}  // namespace kvlab::app
