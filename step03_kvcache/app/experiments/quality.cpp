// quality.cpp - chapter 3, experiments L5 and R5: what a cache in F16 or INT8 changes in a
// trained model's next-token distribution, and the bytes that it takes.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <vector>

#include <kvlab/attention/texts.hpp>
#include <kvlab/kvcache/quality.hpp>
#include <kvlab/kvcache/spread.hpp>
#include <kvlab/tensor/report.hpp>

#include "app.hpp"

namespace kvlab::app {

namespace {

// Without a cache, all logits of a window exist at once: 1024 rows of SmolLM2 are 200 MB.
constexpr Index kLongestDefaultWindow = 1024;

struct QualityFlags {
    OpenOptions opened = cli::open_options();
    std::vector<std::string> models;  // empty: all that are there
    std::vector<std::string> texts = {cli::default_text("heldout.txt")};
    Index window = 0, tokens = 8192, piece = 64;
    std::shared_ptr<OutputFile> json;
};

// Of SmolLM2 one file is enough.
std::vector<std::string> trained_models() {
    std::vector<std::string> models =
        present_models({"tiny", "deep", "SmolLM2-135M-Instruct-Q4_1"});
    if (models.empty() || models.back().rfind("SmolLM2", 0) != 0)
        for (const std::string& f32 : present_models({kFloatModel})) models.push_back(f32);
    return models;
}

void print_formats(const QualityReport& report, const KvShape& shape, Index bytes) {
    std::printf("  %-7s %14s %11s %s %12s %12s %13s %8s\n", "cache", "bits per byte",
                "same token", right_aligned("mean KL, bits", 21).c_str(), "max KL",
                "logit off by", "bytes/token", "of f32");
    const auto per_byte = [&](double bits) { return bits / static_cast<double>(bytes); };
    std::printf("  %-7s %14.6f\n", "none", per_byte(report.uncached_bits));
    for (const CacheQuality& cache : report.caches)
        std::printf(
            "  %-7s %14.6f %10.3f%% %s %12s %12s %13td %7.2f%%\n", cache.format->name,
            per_byte(cache.bits), 100 * cache.agreement(),
            right_aligned(format_spread(spread_of(cache.of_windows(&WindowShift::mean_kl))), 21)
                .c_str(),
            format_number(cache.max_kl()).c_str(), format_number(cache.logits.max_abs).c_str(),
            cache.format->token_bytes(shape),
            100.0 * static_cast<double>(cache.format->token_bytes(shape)) /
                static_cast<double>(formats::f32.token_bytes(shape)));
}

Json to_json(const CacheQuality& cache, const KvShape& shape, Index bytes) {
    const Index per_token = cache.format->token_bytes(shape);
    return {{"cache", cache.format->name},
            {"bits_per_byte", cache.bits / static_cast<double>(bytes)},
            {"agreement", cache.agreement()},
            {"mean_kl", cache.mean_kl()},
            {"mean_kl_deviation", spread_of(cache.of_windows(&WindowShift::mean_kl)).deviation},
            {"max_kl", cache.max_kl()},
            {"max_abs_logit", cache.logits.max_abs},
            {"logits", cache.logits.count},
            {"logits_differ", cache.logits.differ},
            {"bytes_per_token", per_token},
            {"share_of_f32", static_cast<double>(per_token) /
                                 static_cast<double>(formats::f32.token_bytes(shape))}};
}

bool judge_model(const std::string& name, const QualityFlags& flags, Json& report) {
    OpenOptions options = flags.opened;
    options.model = name;
    OpenedModel opened(options);
    const Config& config = opened.model->config;
    const Index window =
        flags.window > 0 ? flags.window : std::min(config.context, kLongestDefaultWindow);
    const TextWindows windows = windows_of(opened, flags.texts, window, flags.tokens);
    const Index bytes = bytes_behind_prompt(*opened.tokenizer, windows, 0);
    const std::string text = names_of_files(flags.texts);
    std::printf("%s, %s: %s, %td windows of %td tokens, %td bytes, in pieces of %td\n",
                config.name.c_str(), opened.engine->name().c_str(), text.c_str(),
                windows.count(), window, bytes, flags.piece == 0 ? window : flags.piece);
    std::fflush(stdout);
    const QualityReport result = measure_quality(opened.model, *opened.engine, windows,
                                                 kv_formats(), flags.piece, opened.level);
    const KvShape shape = opened.decoder.kv_shape();
    print_formats(result, shape, bytes);
    const bool equal = result.f32_equals_uncached();
    std::cout << "  the float cache gives every bit of the run without a cache: "
              << cli::verdict(equal) << "\n\n"
              << std::flush;
    Json entry;
    entry["model"] = config.name;
    entry["engine"] = opened.engine->name();
    entry["text"] = text;
    entry["bytes"] = bytes;
    entry["tokens"] = result.positions;
    entry["window"] = window;
    entry["piece"] = flags.piece;
    entry["uncached_bits_per_byte"] = result.uncached_bits / static_cast<double>(bytes);
    for (const CacheQuality& cache : result.caches)
        entry["caches"].push_back(to_json(cache, shape, bytes));
    report["models"].push_back(entry);
    return equal;
}

int run_quality(const QualityFlags& flags) {
    const std::vector<std::string> models =
        flags.models.empty() ? trained_models() : flags.models;
    check(!models.empty(), "quality: no model to run; see weights/README.md");
    Json report = new_report("step03_kvcache quality", 0);
    report["kl_unit"] = "bits";
    bool equal = true;
    for (const std::string& name : models) equal = judge_model(name, flags, report) && equal;
    report["f32_equals_uncached"] = equal;
    write_json(flags.json, report);
    std::cout << "RESULT models=" << models.size()
              << " f32_equals_uncached=" << (equal ? "yes" : "no") << std::endl;
    return equal ? cli::kHolds : cli::kFails;
}

void add_quality_flags(CLI::App& app, QualityFlags& flags) {
    app.add_option("-m,--model", flags.models,
                   "GGUF files or names, a list; default: every trained model that is there")
        ->delimiter(',');
    cli::add_engine_flags(app, flags.opened);
    app.add_option("--text", flags.texts, "texts to run, a list: the windows are shared out")
        ->delimiter(',')
        ->transform(cli::text_file());
    cli::add_count(app, "--window", flags.window, 0,
                   "tokens of a window; 0: the model's context, at most 1024");
    cli::add_count(app, "--tokens", flags.tokens, 0,
                   "of the texts, about, in whole windows; 0: all");
    cli::add_count(app, "--piece", flags.piece, 0,
                   "feed a cache this many tokens at a time; 1: one by one, 0: a whole window");
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kQuality{
    {.place = 100,
     .name = "quality",
     .text = "what an F16 or INT8 cache changes in the next-token distribution"},
    add_quality_flags,
    run_quality};

}  // namespace

}  // namespace kvlab::app
