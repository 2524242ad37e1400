// kv_speed.cpp - chapter 6: tokens per second of generation with a cache of any format, as
// `step03_kvcache speed` measures them with a plain one: what another engine can be raced on.
#include <cstdio>
#include <iostream>

#include <kvlab/attention/command_line.hpp>
#include <kvlab/kvcache/decode_pass.hpp>
#include <kvlab/quant/coded_rows.hpp>
#include <kvlab/tensor/report.hpp>

namespace kvlab::app {

namespace {

struct KvSpeedFlags {
    OpenOptions opened = cli::open_options("SmolLM2-135M-Instruct-Q4_1");
    std::string code = "q8_0";
    Index context = 2048, tokens = 32, rounds = 5, warm_up = 1;
    double seconds = 0.2;  // that a round lasts at least
    bool wait = false;
    std::shared_ptr<OutputFile> json;
};

std::vector<std::unique_ptr<KvStore>> coded_cache(const OpenedModel& opened,
                                                  const KvSpeedFlags& flags) {
    const Format code = find_kv_format(coded_formats(), flags.code);
    std::vector<std::unique_ptr<KvStore>> stores;
    stores.push_back(std::make_unique<KvCache>(
        opened.decoder.kv_shape(), flags.context + flags.tokens,
        coded_rows(QuantOptions{code, code}, opened.level), nullptr, opened.level));
    return stores;
}

// With --wait each round is asked for by a line of standard input, so that two programs can
// take turns.
std::vector<double> kv_speed_rounds(DecodePass& pass, const KvSpeedFlags& flags) {
    const auto say = [&](const char* what) {
        if (flags.wait) std::cout << what << std::endl;
    };
    for (Index i = 0; i < flags.warm_up; ++i) round_rate(pass, flags.seconds);
    say("READY");
    std::vector<double> rates;
    std::string line;
    for (Index i = 0; i < flags.rounds; ++i) {
        if (flags.wait && !std::getline(std::cin, line)) break;
        rates.push_back(round_rate(pass, flags.seconds));
        say("ROUND");
    }
    check(!rates.empty(), "kv-speed: no round was asked for");
    return rates;
}

int run_kv_speed(const KvSpeedFlags& flags) {
    OpenedModel opened(flags.opened);
    const Config& config = opened.model->config;
    cli::check_fits("--context and --tokens", flags.context + flags.tokens, config);
    std::cout << config.name << ", " << opened.engine->name() << ", cache " << flags.code
              << '\n';
    DecodePass pass(opened, flags.context, flags.tokens, coded_cache(opened, flags));
    const std::vector<double> rates = kv_speed_rounds(pass, flags);
    const Quartiles rate = quartiles(rates);
    std::printf("  %td tokens behind %td: %s tokens per second (%s - %s), cache %td bytes\n",
                flags.tokens, flags.context, format_number(rate.median).c_str(),
                format_number(rate.low).c_str(), format_number(rate.high).c_str(),
                pass.cache_bytes());
    std::fflush(stdout);
    if (flags.json) {
        Json report = new_report("step06_quant kv-speed", 0);
        report["model"] = config.name;
        report["engine"] = opened.engine->name();
        report["weight_bytes"] = opened.model->weight_bytes();
        report["decode"] = {{"cache", flags.code},
                            {"cache_bytes", pass.cache_bytes()},
                            {"rounds", rates},
                            {"chosen", pass.chosen()}};
        write_json(flags.json, report);
    }
    std::cout << "RESULT tokens_per_second=" << format_number(rate.median, 4) << std::endl;
    return cli::kHolds;
}

void add_kv_speed_flags(CLI::App& app, KvSpeedFlags& flags) {
    cli::add_model_flags(app, flags.opened);
    std::vector<std::string> names;
    for (const Format code : coded_formats())
        if (!code->waits)  // those cannot go back to the context's end
            names.emplace_back(code->name);
    app.add_option("--code", flags.code, "format of keys and values")
        ->check(CLI::IsMember(names))
        ->capture_default_str();
    cli::add_count(app, "--context", flags.context, {0, 1 << 20},
                   "tokens that are there before it generates");
    cli::add_count(app, "--tokens", flags.tokens, {1, 1 << 20}, "tokens that it generates");
    cli::add_count(app, "--rounds", flags.rounds, {1, 1 << 20},
                   "measurements, of which the median is shown");
    cli::add_count(app, "--warm-up", flags.warm_up, {0, 1 << 20},
                   "rounds before them that do not count");
    app.add_option("--seconds", flags.seconds,
                   "a round repeats what it measures for at least so long")
        ->check(CLI::Range(0.0, 3600.0))
        ->capture_default_str();
    app.add_flag("--wait", flags.wait,
                 "say READY, then a round for each line of standard input, then say ROUND");
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kKvSpeed{
    {.place = 50,
     .name = "kv-speed",
     .text = "tokens per second behind a long text: forward pass and argmax"},
    add_kv_speed_flags,
    run_kv_speed};

}  // namespace

}  // namespace kvlab::app
