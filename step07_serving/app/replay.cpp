// replay.cpp - chapter 7: the requests of a trace, served one way or all six; what users
// notice, and whether a single bit of any logits differs between the ways.
#include <iostream>
#include <optional>

#include <kvlab/attention/command_line.hpp>
#include <kvlab/serving/decoder_steps.hpp>
#include <kvlab/serving/make_trace.hpp>
#include <kvlab/serving/replay.hpp>
#include <kvlab/serving/ways.hpp>
#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/report.hpp>

#include "cost_lines.hpp"
#include "trace_flags.hpp"

namespace kvlab::app {

namespace {

struct ReplayFlags {
    OpenOptions opened = cli::open_options();
    std::string trace, kind = "azure-conversation", way = "all";
    Index requests = 64, running = 16, budget = 256, drafts = 4, pages = 0;
    double speed = 0;
    Deadlines deadlines{.first_token = 0.5, .per_token = 0.01};
    std::uint64_t seed = 1;
    std::shared_ptr<OutputFile> json;
};

// The logits of every request's tokens, request by request: the order in which a batch came to
// them does not count.
class TraceChecksum {
public:
    void add(Index request, Token token, std::span<const float> logits) {
        if (request >= std::ssize(sums_)) sums_.resize(usize(request) + 1);
        at(sums_, request).add(logits);
        at(sums_, request).add_bits(static_cast<std::uint32_t>(token));
    }

    std::string hex() const {
        Checksum all;
        for (const Checksum& sum : sums_) {
            all.add_bits(static_cast<std::uint32_t>(sum.value()));
            all.add_bits(static_cast<std::uint32_t>(sum.value() >> 32));
        }
        return all.hex();
    }

private:
    std::vector<Checksum> sums_;
};

RequestTrace trace_of(const ReplayFlags& flags, const Config& config) {
    if (!flags.trace.empty()) return read_request_trace(flags.trace);
    return make_trace(find_trace_kind(flags.kind),
                      {.requests = flags.requests,
                       .context = std::min<Index>(config.context, 1024),
                       .seed = flags.seed});
}

struct WayResult {
    const Way* way;
    Replayed replayed;
    SchedulerCounts counts;
    PoolCounts pages;
    std::string checksum;
};

WayResult serve_in(const Way& way,
                   const ReplayFlags& flags,
                   OpenedModel& opened,
                   const RequestTrace& trace) {
    DecoderSteps steps(opened.decoder, opened.level);
    const Index whole = blocks_for(trace.longest(), kTile) * flags.running;
    PagePool pool(opened.decoder.kv_shape(), {.pages = flags.pages > 0 ? flags.pages : whole});
    const auto prefixes = way.prefixes ? make_radix_index(pool) : nullptr;
    const auto drafter = way.speculation ? make_lookup_drafter() : nullptr;
    const SchedulerOptions options = way.options({.max_running = flags.running,
                                                  .token_budget = flags.budget,
                                                  .draft_tokens = flags.drafts});
    Scheduler scheduler(steps, pool, options, prefixes.get(), drafter.get());
    TraceChecksum checksum;
    const auto add = [&](Index request, Token token, std::span<const float> logits) {
        checksum.add(request, token, logits);
    };
    Replayed replayed =
        replay(scheduler, steps, trace, opened.model->config.vocab,
               {.speed = flags.speed, .deadlines = flags.deadlines, .on_token = add});
    return {&way, std::move(replayed), scheduler.counts(), pool.counts(), checksum.hex()};
}

void print_header(const RequestTrace& trace, const ReplayFlags& flags, const Config& config) {
    std::printf(
        "%s: %zu requests of %s, %s; in time: first token in %g s, then %g ms a token\n",
        config.name.c_str(), trace.requests.size(), trace.name.c_str(),
        flags.speed > 0 ? concat(flags.speed, " times as fast").c_str() : "all at once",
        flags.deadlines.first_token, 1e3 * flags.deadlines.per_token);
    std::printf("  %-12s %9s %7s %24s %24s %6s %7s %9s\n", "", "tokens/s", "in time",
                "first token, ms", "time per token, ms", "batch", "cached", "guessed");
    std::printf("  %-12s %9s %7s %8s%8s%8s %8s%8s%8s\n", "", "", "", "P50", "P95", "P99", "P50",
                "P95", "P99");
}

Json print_way(const WayResult& result) {
    const ServiceSummary& s = result.replayed.summary;
    std::printf("  %-12s %9s %7td %8.1f%8.1f%8.1f %8.3f%8.3f%8.3f %6.1f %7td %4td/%td\n",
                result.way->name, format_number(s.tokens_per_second, 4).c_str(), s.in_time,
                1e3 * s.first_token.p50, 1e3 * s.first_token.p95, 1e3 * s.first_token.p99,
                1e3 * s.per_token.p50, 1e3 * s.per_token.p95, 1e3 * s.per_token.p99,
                result.replayed.mean_batch, result.counts.cached, result.counts.accepted,
                result.counts.drafted);
    std::fflush(stdout);
    Json json{{"way", result.way->name}};
    json.update(to_json(s));
    json["steps"] = result.replayed.steps;
    json["mean_batch"] = result.replayed.mean_batch;
    json["fed"] = result.counts.fed;
    json["padded"] = result.counts.padded;
    json["cached"] = result.counts.cached;
    json["drafted"] = result.counts.drafted;
    json["accepted"] = result.counts.accepted;
    json["preempted"] = result.counts.preempted;
    json["most_pages"] = result.pages.most_used;
    json["checksum"] = result.checksum;
    return json;
}

int run_replay(const ReplayFlags& flags) {
    OpenedModel opened(flags.opened);
    const RequestTrace trace = trace_of(flags, opened.model->config);
    print_header(trace, flags, opened.model->config);
    Json report = new_report("step07_serving replay", flags.seed);
    report["model"] = opened.model->config.name;
    report["engine"] = opened.engine->name();
    report["trace"] = trace.name;
    report["requests"] = trace.requests.size();
    report["ways"] = Json::array();
    std::optional<std::string> first;
    bool same = true;
    for (const Way& way : serving_ways()) {
        if (flags.way != "all" && flags.way != way.name) continue;
        const WayResult result = serve_in(way, flags, opened, trace);
        report["ways"].push_back(print_way(result));
        if (!first) first = result.checksum;
        same = same && result.checksum == *first;
    }
    report["same_bits"] = same;
    write_json(flags.json, report);
    std::cout << "RESULT ways=" << report["ways"].size() << " checksum=" << first.value_or("")
              << " same_bits=" << (same ? "yes" : "no") << std::endl;
    return same ? cli::kHolds : cli::kFails;
}

void add_replay_flags(CLI::App& app, ReplayFlags& flags) {
    cli::add_model_flags(app, flags.opened);
    app.add_option("--trace", flags.trace, "a file of requests; default: one is made")
        ->check(CLI::ExistingFile);
    add_kind_flag(app, flags.kind);
    cli::add_count(app, "--requests", flags.requests, {1, 99999}, "of a trace that is made");
    std::vector<std::string> names = {"all"};
    for (const Way& way : serving_ways()) names.emplace_back(way.name);
    app.add_option("--way", flags.way, "how they are served")
        ->check(CLI::IsMember(names))
        ->capture_default_str();
    app.add_option("--speed", flags.speed,
                   "the trace's time passes so much faster; 0: all requests come at once")
        ->check(cli::number_between(0, 1e9))
        ->capture_default_str();
    cli::add_count(app, "--running", flags.running, {1, 4096}, "texts in a step, at most");
    cli::add_count(app, "--budget", flags.budget, {1, 1 << 20}, "tokens in a step, at most");
    cli::add_count(app, "--drafts", flags.drafts, {1, 64}, "tokens that are guessed at once");
    cli::add_count(app, "--pages", flags.pages, Index{0},
                   "pages of the pool; 0: as many as the longest texts need");
    app.add_option("--first-token", flags.deadlines.first_token, "deadline in seconds")
        ->check(cli::number_between(0, 1e6))
        ->capture_default_str();
    app.add_option("--per-token", flags.deadlines.per_token, "deadline in seconds")
        ->check(cli::number_between(0, 1e6))
        ->capture_default_str();
    app.add_option("-s,--seed", flags.seed, "of a trace that is made")->capture_default_str();
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kReplay{
    {.place = 62,
     .name = "replay",
     .text = "serve the requests of a trace in six ways, with the same bits"},
    add_replay_flags,
    run_replay};

}  // namespace

}  // namespace kvlab::app
