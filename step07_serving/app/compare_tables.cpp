// compare_tables.cpp - chapter 7: the table and the report of a comparison, and its requests.
#include <algorithm>
#include <cstdio>

#include <kvlab/tensor/measure.hpp>

#include "compare.hpp"
#include "cost_lines.hpp"

namespace kvlab::app {

namespace {

void print_latency(const Percentiles& seconds) {
    for (const double s : {seconds.p50, seconds.p95, seconds.p99})
        std::printf(" %6.2f", s * 1e3);
}

// The middle half of the rounds' speeds; nothing for one round.
void print_spread(const std::vector<double>& rates) {
    if (rates.size() < 2) return;
    const Quartiles spread = quartiles(rates);
    std::printf("   %.0f-%.0f", spread.low, spread.high);
}

}  // namespace

ComparedWay median_round(const std::vector<ComparedWay>& rounds) {
    const auto rate = [](const ComparedWay& one) {
        return one.replayed.summary.tokens_per_second;
    };
    std::vector<ComparedWay> by_speed = rounds;
    std::ranges::stable_sort(by_speed, {}, rate);
    ComparedWay median = by_speed[(by_speed.size() - 1) / 2];
    median.logits = {};
    median.tokens_differ = 0;
    for (const ComparedWay& round : rounds) {
        median.logits.merge(round.logits);
        median.tokens_differ += round.tokens_differ;
        median.rates.push_back(rate(round));
    }
    return median;
}

void print_ways(const std::vector<ComparedWay>& ways) {
    const bool repeated = ways.front().rates.size() > 1;
    std::printf("  %-12s %8s %20s   %20s%s\n", "", "tokens", "first token", "next tokens",
                repeated ? concat(std::string(49, ' '), "tokens/s,").c_str() : "");
    std::printf("  %-12s %8s %6s %6s %6s   %6s %6s %6s   %5s %8s %7s %7s %7s %6s%s\n", "way",
                "/s", "P50 ms", "P95", "P99", "P50 ms", "P95", "P99", "steps", "computed",
                "padded", "cached", "guessed", "right", repeated ? "   quartiles" : "");
    for (const ComparedWay& one : ways) {
        const ServiceSummary& summary = one.replayed.summary;
        const SchedulerCounts& c = one.counts;
        std::printf("  %-12s %8.0f", one.way->name, summary.tokens_per_second);
        print_latency(summary.first_token);
        std::printf("  ");
        print_latency(summary.per_token);
        std::printf("   %5td %8td %7td %7td %7td %6td", c.steps, c.fed, c.padded, c.cached,
                    c.drafted, c.accepted);
        print_spread(one.rates);
        std::printf("\n");
    }
}

Json to_json(const ComparedWay& one) {
    const ServiceSummary& summary = one.replayed.summary;
    const SchedulerCounts& c = one.counts;
    return {{"way", one.way->name},
            {"what", one.way->what},
            {"tokens_per_second", summary.tokens_per_second},
            {"rates", one.rates},
            {"seconds", summary.seconds},
            {"first_token", to_json(summary.first_token)},
            {"per_token", to_json(summary.per_token)},
            {"steps", c.steps},
            {"mean_batch", one.replayed.mean_batch},
            {"written", c.written},
            {"fed", c.fed},
            {"padded", c.padded},
            {"cached", c.cached},
            {"preempted", c.preempted},
            {"drafted", c.drafted},
            {"accepted", c.accepted},
            {"pages_most_used", one.pages_most_used},
            {"floats", one.logits.count},
            {"floats_differ", one.logits.differ},
            {"tokens_differ", one.tokens_differ}};
}

RequestTrace chat_trace(Index requests, std::uint64_t seed) {
    constexpr std::int64_t kSystemPrompts = 4, kQuestions = 1000;  // seeds of their texts
    Rng random(seed);
    RequestTrace trace{.name = "chat", .requests = {}};
    for (Index i = 0; i < requests; ++i) {
        const std::int64_t system = random.below(kSystemPrompts);
        const Index question = 8 + random.below(random.below(4) == 0 ? 200 : 40);
        const Index answer = 4 + random.below(random.below(3) == 0 ? 60 : 20);
        trace.requests.push_back(
            {.arrival_us = 10000 * i,
             .prompt = {{system, 96 + 32 * system}, {kQuestions + i, question}},
             .max_tokens = answer});
    }
    return trace;
}

}  // namespace kvlab::app
