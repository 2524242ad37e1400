// serve_speed.cpp - chapter 7: tokens per second of many requests through the scheduler, as
// `step03_kvcache speed` measures those of one batch: what another engine can be raced on.
//
// All requests wait from the start, and as many run as there are clients: each client sends its
// next one when the one before has ended. Their lengths and texts are numbers that any program
// can make again (tools/peers/worker.py).
#include <cstdio>
#include <iostream>

#include <kvlab/attention/command_line.hpp>
#include <kvlab/kvcache/decode_pass.hpp>
#include <kvlab/serving/decoder_steps.hpp>
#include <kvlab/serving/scheduler.hpp>
#include <kvlab/tensor/report.hpp>

namespace kvlab::app {

namespace {

struct ServeSpeedFlags {
    OpenOptions opened = cli::open_options("SmolLM2-135M-Instruct-Q4_1");
    Index clients = 4, requests = 16, budget = 512, rounds = 5, warm_up = 1;
    double seconds = 0.2;  // that a round lasts at least
    bool wait = false;
    std::shared_ptr<OutputFile> json;
};

// Of request i: 16 to 128 tokens of prompt, 8 to 64 to write.
Index raced_prompt(Index i) {
    return 16 + 37 * i % 113;
}

Index raced_tokens(Index i) {
    return 8 + 29 * i % 57;
}

// All requests, from the first step to the last one's end.
class ServePass {
public:
    ServePass(OpenedModel& opened, const ServeSpeedFlags& flags)
        : flags_(flags),
          vocab_(opened.model->config.vocab),
          steps_(opened.decoder, opened.level),
          pool_(opened.decoder.kv_shape(), {.pages = flags.clients * blocks_for(192, kTile)}) {
        cli::check_fits("serve-speed: a request", 192, opened.model->config);
        for (Index i = 0; i < flags.requests; ++i) tokens_ += raced_tokens(i);
    }

    // That are written in a pass; those of prompts take time, but do not count.
    Index tokens() const { return tokens_; }

    // Of the first request.
    const std::vector<Token>& chosen() const { return chosen_; }

    Index cache_bytes() const { return pool_.allocated_bytes(); }

    Index steps() const { return count_; }

    double seconds() {
        Scheduler scheduler(steps_, pool_,
                            {.max_running = flags_.clients, .token_budget = flags_.budget});
        const Stopwatch watch;
        for (Index i = 0; i < flags_.requests; ++i)
            scheduler.add({.prompt = race_text(i, raced_prompt(i), vocab_),
                           .max_tokens = raced_tokens(i),
                           .choice = {.sampling = {.temperature = 0}}});
        while (scheduler.step()) {
        }
        const double seconds = watch.seconds();
        const auto first = scheduler.generated(0);
        chosen_.assign(first.begin(), first.end());
        count_ = scheduler.counts().steps;
        check(scheduler.counts().written == tokens_,
              "serve-speed: ", scheduler.counts().written, " tokens were written, ", tokens_,
              " were asked for");
        return seconds;
    }

private:
    const ServeSpeedFlags& flags_;
    Index vocab_, tokens_ = 0, count_ = 0;
    DecoderSteps steps_;
    PagePool pool_;
    std::vector<Token> chosen_;
};

// With --wait each round is asked for by a line of standard input, so that two programs can
// take turns.
std::vector<double> serve_speed_rounds(ServePass& pass, const ServeSpeedFlags& flags) {
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
    check(!rates.empty(), "serve-speed: no round was asked for");
    return rates;
}

int run_serve_speed(const ServeSpeedFlags& flags) {
    OpenedModel opened(flags.opened);
    const Config& config = opened.model->config;
    std::cout << config.name << ", " << opened.engine->name() << std::endl;
    ServePass pass(opened, flags);
    const std::vector<double> rates = serve_speed_rounds(pass, flags);
    const Quartiles rate = quartiles(rates);
    std::printf(
        "  %td requests of %td clients, %td tokens in %td steps: %s tokens per second "
        "(%s - %s), pages %td bytes\n",
        flags.requests, flags.clients, pass.tokens(), pass.steps(),
        format_number(rate.median).c_str(), format_number(rate.low).c_str(),
        format_number(rate.high).c_str(), pass.cache_bytes());
    std::fflush(stdout);
    Json report = new_report("step07_serving serve-speed", 0);
    report["model"] = config.name;
    report["engine"] = opened.engine->name();
    report["weight_bytes"] = opened.model->weight_bytes();
    report["serve"] = {{"clients", flags.clients}, {"requests", flags.requests},
                       {"steps", pass.steps()},    {"cache_bytes", pass.cache_bytes()},
                       {"rounds", rates},          {"chosen", pass.chosen()}};
    write_json(flags.json, report);
    std::cout << "RESULT tokens_per_second=" << format_number(rate.median, 4) << std::endl;
    return cli::kHolds;
}

void add_serve_speed_flags(CLI::App& app, ServeSpeedFlags& flags) {
    cli::add_model_flags(app, flags.opened);
    cli::add_count(app, "--clients", flags.clients, {1, 256}, "requests that run at once");
    cli::add_count(app, "--requests", flags.requests, 1, "of all clients together");
    cli::add_count(app, "--budget", flags.budget, 1, "tokens in a step, at most");
    cli::add_count(app, "--rounds", flags.rounds, 1,
                   "measurements, of which the median is shown");
    cli::add_count(app, "--warm-up", flags.warm_up, 0, "rounds before them that do not count");
    app.add_option("--seconds", flags.seconds,
                   "a round repeats what it measures for at least so long")
        ->check(cli::number_between(0, 3600))
        ->capture_default_str();
    app.add_flag("--wait", flags.wait,
                 "say READY, then a round for each line of standard input, then say ROUND");
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kServeSpeed{
    {.place = 90,
     .name = "serve-speed",
     .text = "tokens per second of many requests: steps of the scheduler and argmax"},
    add_serve_speed_flags,
    run_serve_speed};

}  // namespace

}  // namespace kvlab::app
