// compare.cpp - chapter 7: the same requests, served in six ways, each with the same bits as
// every request alone.
#include "compare.hpp"

#include <cstdio>

#include <kvlab/serving/decoder_steps.hpp>
#include <kvlab/serving/watched_steps.hpp>

#include "cost_lines.hpp"

namespace kvlab::app {

namespace {

struct CompareFlags {
    OpenOptions opened = cli::open_options();
    std::string trace;  // empty: chats
    Index requests = 32, pages = 0, draft_tokens = 4, rounds = 1;
    std::uint64_t seed = 42;
    double speed = 0;
    SchedulerOptions options{.max_running = 8, .token_budget = 64};
    std::string drafter = "lookup";
    Index drafter_layers = 1;
    std::shared_ptr<OutputFile> json;
};

// What each request writes alone, in the contiguous cache of chapter 3, and from which logits.
std::vector<Alone> serve_each_alone(Decoder& decoder, const RequestTrace& trace) {
    std::vector<Alone> alone;
    for (const TracedRequest& traced : trace.requests)
        alone.push_back(
            serve_alone(decoder, to_request(traced, decoder.config().vocab), float_rows()));
    return alone;
}

// Compares as the tokens come: a row of logits is only there until the next step.
Scheduler::OnToken compare_with(const std::vector<Alone>& alone,
                                const Scheduler& scheduler,
                                ComparedWay& to) {
    return [&](Index request, Token token, std::span<const float> logits) {
        const Index i = std::ssize(scheduler.generated(request)) - 1;
        to.logits.merge(compare_bits(at(alone, request).row(i), logits));
        to.tokens_differ += token == at(at(alone, request).tokens, i) ? 0 : 1;
    };
}

std::unique_ptr<Drafter> make_drafter(const CompareFlags& flags, OpenedModel& opened) {
    if (flags.drafter == "lookup") return make_lookup_drafter();
    return make_model_drafter(first_layers(opened.model, flags.drafter_layers), *opened.engine);
}

// Twice what the texts of a step can grow to, if nothing is said.
Index pages_of(const CompareFlags& flags, const RequestTrace& trace) {
    if (flags.pages > 0) return flags.pages;
    return 2 * flags.options.max_running * blocks_for(trace.longest(), kTile);
}

ComparedWay serve(const Way& way,
                  const CompareFlags& flags,
                  OpenedModel& opened,
                  const RequestTrace& trace,
                  const std::vector<Alone>& alone) {
    DecoderSteps decoder(opened.decoder, opened.level);
    CpuTimeSteps own(decoder);
    StepModel& steps = counts_cpu_time(opened) ? static_cast<StepModel&>(own) : decoder;
    PagePool pool(opened.decoder.kv_shape(), {.pages = pages_of(flags, trace)});
    const std::unique_ptr<PrefixIndex> index = way.prefixes ? make_radix_index(pool) : nullptr;
    SchedulerOptions options = flags.options;
    options.draft_tokens = flags.draft_tokens;
    const std::unique_ptr<Drafter> drafter =
        way.speculation ? make_drafter(flags, opened) : nullptr;
    Scheduler scheduler(steps, pool, way.options(options), index.get(), drafter.get());
    ComparedWay compared{.way = &way};
    const ReplayOptions replay_options{.speed = flags.speed,
                                       .on_token = compare_with(alone, scheduler, compared)};
    compared.replayed =
        replay(scheduler, steps, trace, opened.model->config.vocab, replay_options);
    compared.counts = scheduler.counts();
    compared.pages_most_used = pool.counts().most_used;
    return compared;
}

RequestTrace trace_of(const CompareFlags& flags, const Config& config) {
    RequestTrace trace = flags.trace.empty() ? chat_trace(flags.requests, flags.seed)
                                             : read_request_trace(flags.trace);
    cli::check_fits(concat("the longest request of '", trace.name, "'"), trace.longest(),
                    config);
    return trace;
}

void write_report(const CompareFlags& flags,
                  const std::string& model,
                  const RequestTrace& trace,
                  const std::vector<ComparedWay>& ways) {
    Json json = new_report("step07_serving compare", flags.seed);
    json["model"] = model;
    json["trace"] = trace.name;
    json["requests"] = std::ssize(trace.requests);
    json["speed"] = flags.speed;
    json["max_running"] = flags.options.max_running;
    json["token_budget"] = flags.options.token_budget;
    json["draft_tokens"] = flags.draft_tokens;
    json["pages"] = pages_of(flags, trace);
    json["rounds"] = flags.rounds;
    for (const ComparedWay& way : ways) json["ways"].push_back(to_json(way));
    write_json(flags.json, json);
}

// All ways take turns, so that what slows the machine down for a while slows all of them.
std::vector<ComparedWay> serve_in_turns(const CompareFlags& flags,
                                        OpenedModel& opened,
                                        const RequestTrace& trace,
                                        const std::vector<Alone>& alone) {
    const auto ways = serving_ways();
    std::vector<std::vector<ComparedWay>> rounds(ways.size());  // [way][round]
    for (Index round = 0; round < flags.rounds; ++round)
        for (std::size_t w = 0; w < ways.size(); ++w)
            rounds[w].push_back(serve(ways[w], flags, opened, trace, alone));
    std::vector<ComparedWay> compared;
    for (const auto& of_way : rounds) compared.push_back(median_round(of_way));
    return compared;
}

int run_compare(const CompareFlags& flags) {
    OpenedModel opened(flags.opened);
    const std::string& model = opened.model->config.name;
    const RequestTrace trace = trace_of(flags, opened.model->config);
    const std::vector<Alone> alone = serve_each_alone(opened.decoder, trace);
    std::printf("%s, %s: %zu requests of '%s', up to %td at once, %td tokens in a step\n\n",
                model.c_str(), opened.engine->name().c_str(), trace.requests.size(),
                trace.name.c_str(), flags.options.max_running, flags.options.token_budget);
    std::fflush(stdout);
    const std::vector<ComparedWay> ways = serve_in_turns(flags, opened, trace, alone);
    Difference logits;
    Index tokens_differ = 0;
    for (const ComparedWay& way : ways) {
        logits.merge(way.logits);
        tokens_differ += way.tokens_differ;
    }
    print_ways(ways);
    if (flags.rounds > 1)
        std::printf("\n  of %td rounds in turns, each way's of the median speed\n",
                    flags.rounds);
    const bool same = logits.differ == 0 && tokens_differ == 0;
    std::printf("\n  against each request alone: %td floats of logits, %td differ\n\n",
                logits.count, logits.differ);
    std::fflush(stdout);
    write_report(flags, model, trace, ways);
    const auto rate = [&](std::size_t i) {
        return format_number(ways[i].replayed.summary.tokens_per_second);
    };
    std::cout << "RESULT requests=" << trace.requests.size() << " floats=" << logits.count
              << " differ=" << logits.differ << " one_by_one=" << rate(0)
              << " continuous=" << rate(2) << " all=" << rate(ways.size() - 1) << std::endl;
    return same ? cli::kHolds : cli::kFails;
}

void add_compare_flags(CLI::App& app, CompareFlags& flags) {
    cli::add_model_flags(app, flags.opened);
    app.add_option("--trace", flags.trace, "requests from this file; default: chats")
        ->check(CLI::ExistingFile);
    cli::add_count(app, "-n,--requests", flags.requests, {1, 100000}, "how many chats");
    app.add_option("-s,--seed", flags.seed, "of the chats")->capture_default_str();
    app.add_option("--speed", flags.speed,
                   "how much faster than in the trace they come; 0: all at once")
        ->check(cli::number_between(0, 1e9))
        ->capture_default_str();
    cli::add_count(app, "--running", flags.options.max_running, 1, "texts in a step at most");
    cli::add_count(app, "--budget", flags.options.token_budget, 1, "tokens in a step");
    cli::add_count(app, "--pages", flags.pages, 0, "of 64 tokens; 0: enough for everybody");
    cli::add_count(app, "--rounds", flags.rounds, {1, 1000}, "of all ways, in turns");
    cli::add_count(app, "--draft-tokens", flags.draft_tokens, {1, 64}, "guesses in a step");
    app.add_option("--drafter", flags.drafter, "who guesses: lookup or model")
        ->check(CLI::IsMember({"lookup", "model"}))
        ->capture_default_str();
    cli::add_count(app, "--drafter-layers", flags.drafter_layers, 1,
                   "of the model, which --drafter model guesses with");
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kCompare{
    {.place = 10,
     .name = "compare",
     .text = "the same requests served in six ways, with the same bits",
     .by_default = true},
    add_compare_flags,
    run_compare};

}  // namespace

}  // namespace kvlab::app
