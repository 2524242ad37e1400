// Step 7: what users notice of a service: percentiles and goodput by hand, closed forms for one
// request alone, and laws that hold for every run.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include <kvlab/serving/latency.hpp>
#include <kvlab/serving/make_trace.hpp>
#include <kvlab/serving/prefix_index.hpp>
#include <kvlab/serving/replay.hpp>
#include <kvlab/serving/simulated_steps.hpp>
#include <kvlab/serving/watched_steps.hpp>
#include <kvlab/serving/ways.hpp>

#include "models.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

// Every step takes a second and every text in it a quarter: exact in binary.
constexpr StepCost kClock{.per_step = 1, .per_text = 0.25};

struct Rig {
    explicit Rig(const SchedulerOptions& options, Index pages = 64)
        : steps(ServedModel::of_floats(small_config()), kClock),
          pool(steps.kv_shape(), {.pages = pages}),
          scheduler(steps, pool, options) {}

    Replayed run(const RequestTrace& trace, const ReplayOptions& replay_options = {}) {
        return replay(scheduler, steps, trace, 96, replay_options);
    }

    SimulatedSteps steps;
    PagePool pool;
    Scheduler scheduler;
};

TracedRequest traced(double arrival, Index prompt, Index tokens) {
    static std::int64_t seed = 0;
    return {static_cast<std::int64_t>(arrival * 1e6), {{++seed, prompt}}, tokens};
}

ServedRequest served(double arrival, double first, double last, Index written) {
    return {arrival, first, last, 1, written};
}

}  // namespace

TEST_SUITE_BEGIN("step07");

TEST_CASE("latency: percentiles are samples by nearest rank") {
    std::vector<double> hundred;
    for (int i = 100; i >= 1; --i) hundred.push_back(i);
    CHECK(percentile(hundred, 50) == 50);
    CHECK(percentile(hundred, 95) == 95);
    CHECK(percentile(hundred, 99) == 99);
    CHECK(percentile(hundred, 100) == 100);
    CHECK(percentile(hundred, 0.5) == 1);
    CHECK(percentile({7}, 1) == 7);
    CHECK(percentile({7}, 100) == 7);
    // Of four, half are the first two, and 51 % need the third.
    CHECK(percentile({4, 1, 3, 2}, 50) == 2);
    CHECK(percentile({4, 1, 3, 2}, 51) == 3);
    CHECK(percentile({4, 1, 3, 2}, 75) == 3);
    CHECK(percentile({4, 1, 3, 2}, 76) == 4);
    CHECK_THROWS_WITH_AS(percentile({}, 50), "percentile: no samples", Error);
    CHECK_THROWS_AS(percentile({1}, 0), Error);
    CHECK_THROWS_AS(percentile({1}, 100.5), Error);
    CHECK(percentiles({}).p99 == 0);
}

TEST_CASE("latency: a request's times by hand") {
    const ServedRequest r = served(2, 5, 11, 4);
    CHECK(r.first_token() == 3);
    CHECK(r.per_token() == 2);  // three times between four tokens
    CHECK(r.whole() == 9);
    CHECK(served(2, 5, 5, 1).per_token() == 0);
}

TEST_CASE("latency: goodput asks for both deadlines at their edge") {
    const Deadlines deadlines{.first_token = 3, .per_token = 2};
    CHECK(deadlines.met_by(served(2, 5, 11, 4)));           // both just met
    CHECK_FALSE(deadlines.met_by(served(2, 5.25, 11, 4)));  // the first token is late alone
    CHECK_FALSE(deadlines.met_by(served(2, 5, 11.25, 4)));  // the others are late alone
    CHECK(deadlines.met_by(served(2, 5, 5, 1)));            // one token has no time per token
    // Late by the arrival, whatever the clock of the service says.
    CHECK_FALSE(deadlines.met_by(served(0, 5, 11, 4)));

    const std::vector<ServedRequest> all = {served(0, 1, 3, 3), served(2, 9, 10, 2),
                                            served(4, 6, 20, 2), served(1, 2, 2, 1)};
    const ServiceSummary s = summarize(all, deadlines);
    CHECK(s.requests == 4);
    CHECK(s.tokens == 8);
    CHECK(s.seconds == 20);  // from the first arrival to the last token
    CHECK(s.tokens_per_second == 0.4);
    CHECK(s.in_time == 2);  // the first and the last
    CHECK(s.goodput == 0.1);
    CHECK(s.first_token.p50 == 1);
    CHECK(s.first_token.p99 == 7);
    CHECK(s.per_token.p50 == 1);  // of three: the single token has none
    CHECK(s.per_token.p99 == 14);
    CHECK(s.in_system == (3 + 8 + 16 + 1) / 20.0);
    CHECK_THROWS_AS(summarize({}, deadlines), Error);
}

TEST_CASE("latency: lengths are described as the sources describe them") {
    const std::vector<Index> lengths = {1, 10, 100, 1000};
    const LengthStatistics s = length_statistics(lengths);
    CHECK(s.mean == doctest::Approx(277.75));
    CHECK(s.median == 10);
    CHECK(s.p90 == 1000);
    CHECK(s.mu == doctest::Approx(1.5 * std::log(10)));
    CHECK(s.sigma == doctest::Approx(std::log(10) * std::sqrt(1.25)));
    CHECK_THROWS_AS(length_statistics(std::vector<Index>{1, 0}), Error);
}

TEST_CASE("replay: a request alone waits for its prompt's steps and then a step a token") {
    Rig rig({.max_running = 4, .token_budget = 64});
    RequestTrace trace{"one", {traced(3, 150, 5)}};
    const Replayed run = rig.run(trace);
    REQUIRE(run.requests.size() == 1);
    const ServedRequest& r = run.requests[0];
    CHECK(r.arrival == 3);
    CHECK(r.first_token() == 3 * 1.25);  // 150 tokens in steps of 64
    CHECK(r.per_token() == 1.25);
    CHECK(r.last == 3 + 7 * 1.25);
    CHECK(r.prompt == 150);
    CHECK(r.written == 5);
    CHECK(run.steps == 7);
    CHECK(run.mean_batch == 1);
    CHECK(run.summary.seconds == 7 * 1.25);  // the three seconds before do not count
}

TEST_CASE(
    "replay: waiting counts from when a request came and not from when it was looked at") {
    Rig rig({.batching = Batching::one_by_one, .token_budget = 64});
    // The second comes in the middle of a step of the first, the third while nobody is there.
    RequestTrace trace{"three", {traced(0, 64, 4), traced(0.5, 64, 2), traced(100, 10, 1)}};
    const Replayed run = rig.run(trace);
    CHECK(run.requests[0].last == 5.0);
    CHECK(run.requests[1].arrival == 0.5);
    CHECK(run.requests[1].first_token() == 5.0 + 1.25 - 0.5);
    CHECK(run.requests[2].first == 101.25);
    CHECK(run.summary.seconds == 101.25);
}

TEST_CASE("replay: speed moves arrivals and 0 lets all come at once") {
    RequestTrace trace{"two", {traced(0, 5, 1), traced(40, 5, 1)}};
    for (const auto& [speed, second] : {std::pair<double, double>{1, 40}, {10, 4}, {0, 0}}) {
        Rig rig({.max_running = 4});
        const Replayed run = rig.run(trace, {.speed = speed});
        CHECK(run.requests[1].arrival == second);
        CHECK(run.steps == (speed == 0 ? 1 : 2));
    }
    Rig rig({.max_running = 4});
    CHECK_THROWS_AS(rig.run(trace, {.speed = -1}), Error);
    CHECK_THROWS_AS(rig.run({"none", {}}), Error);
}

TEST_CASE(
    "replay: every token that is asked for is served in all ways and callbacks are passed on") {
    const RequestTrace trace =
        make_trace(find_trace_kind("mooncake-conversation"), {.requests = 60, .context = 400});
    Index asked = 0;
    for (const TracedRequest& r : trace.requests) asked += r.max_tokens;
    for (const Way& way : serving_ways()) {
        CAPTURE(way.name);
        SimulatedSteps steps(ServedModel::of_floats(small_config()), kClock);
        PagePool pool(steps.kv_shape(), {.pages = 56});
        const auto index = way.prefixes ? make_radix_index(pool) : nullptr;
        const auto drafter = way.speculation ? make_lookup_drafter() : nullptr;
        Scheduler scheduler(
            steps, pool, way.options({.max_running = 8, .token_budget = 96, .draft_tokens = 3}),
            index.get(), drafter.get());
        Index tokens = 0, events = 0;
        ReplayOptions options{.speed = 0.5};
        options.on_token = [&](Index, Token, std::span<const float>) { ++tokens; };
        options.on_event = [&](const StepEvent&) { ++events; };
        const Replayed run = replay(scheduler, steps, trace, 96, options);
        CHECK(run.summary.tokens == asked);
        CHECK(tokens == asked);
        CHECK(events >= 3 * 60);  // added, admitted, ended
        CHECK((scheduler.counts().cached > 0) == way.prefixes);
        CHECK((scheduler.counts().accepted > 0) == way.speculation);
        for (std::size_t i = 0; i < trace.requests.size(); ++i) {
            CHECK(run.requests[i].written == trace.requests[i].max_tokens);
            CHECK(run.requests[i].prompt == trace.requests[i].prompt_tokens());
            CHECK(run.requests[i].first > run.requests[i].arrival);
            CHECK(run.requests[i].last >= run.requests[i].first);
        }
    }
}

TEST_CASE("replay: Little's law holds within every run") {
    const RequestTrace trace =
        make_trace(find_trace_kind("azure-conversation"), {.requests = 200, .context = 300});
    Rig rig({.max_running = 8, .token_budget = 128});
    const Replayed run = rig.run(trace, {.speed = 0.05});
    // How many are there on average, counted the other way: between any two moments at which
    // one comes or goes.
    std::vector<std::pair<double, int>> moments;
    for (const ServedRequest& r : run.requests) {
        moments.emplace_back(r.arrival, 1);
        moments.emplace_back(r.last, -1);
    }
    std::sort(moments.begin(), moments.end());
    double area = 0;
    int inside = 0, most = 0;
    for (std::size_t i = 0; i + 1 < moments.size(); ++i) {
        inside += moments[i].second;
        most = std::max(most, inside);
        area += inside * (moments[i + 1].first - moments[i].first);
    }
    const double length = moments.back().first - moments.front().first;
    CHECK(run.summary.seconds == doctest::Approx(length));
    CHECK(run.summary.in_system == doctest::Approx(area / length));
    // L = lambda W.
    double stay = 0;
    for (const ServedRequest& r : run.requests) stay += r.whole() / 200;
    CHECK(run.summary.in_system == doctest::Approx(200 / length * stay));
    CHECK(most > 8);  // some waited
}

TEST_CASE("replay: a scheduler that forgets serves the same and keeps nothing") {
    const RequestTrace trace =
        make_trace(find_trace_kind("azure-code"), {.requests = 50, .context = 300});
    for (const Batching batching :
         {Batching::one_by_one, Batching::static_batches, Batching::continuous}) {
        Rig keeps({.batching = batching, .max_running = 5});
        Rig forgets({.batching = batching, .max_running = 5});
        const Replayed a = keeps.run(trace, {.speed = 0});
        const Replayed b = forgets.run(trace, {.speed = 0, .forget = true});
        for (std::size_t i = 0; i < trace.requests.size(); ++i) {
            CHECK(a.requests[i].first == b.requests[i].first);
            CHECK(a.requests[i].last == b.requests[i].last);
        }
        CHECK(std::ssize(keeps.scheduler.generated(7)) == trace.requests[7].max_tokens);
        CHECK_THROWS_AS(forgets.scheduler.generated(7), Error);
    }
}

TEST_CASE("replay: a second trace follows on one scheduler with its own beginning") {
    Rig rig({.max_running = 4});
    const RequestTrace trace{"two", {traced(0, 5, 2), traced(1, 5, 2)}};
    const Replayed first = rig.run(trace), second = rig.run(trace);
    CHECK(rig.steps.now() > first.summary.seconds);
    for (std::size_t i = 0; i < 2; ++i) {
        CHECK(second.requests[i].arrival == trace.requests[i].arrival());
        CHECK(second.requests[i].first == first.requests[i].first);
        CHECK(second.requests[i].last == first.requests[i].last);
    }
}

TEST_CASE("replay: what does not fit the model is refused") {
    Rig rig({.max_running = 4});
    CHECK_THROWS_AS(rig.run({"long", {traced(0, 400, 1)}}), Error);
}

TEST_CASE("ways: each one has an idea more than the one before") {
    const SchedulerOptions all{.max_running = 3, .token_budget = 77, .draft_tokens = 5};
    CHECK(serving_ways().size() == 6);
    CHECK(find_way("one-by-one").options(all).batching == Batching::one_by_one);
    CHECK(find_way("static").options(all).batching == Batching::static_batches);
    const SchedulerOptions continuous = find_way("continuous").options(all);
    CHECK(continuous.batching == Batching::continuous);
    CHECK_FALSE(continuous.chunked);
    CHECK(continuous.draft_tokens == 0);
    CHECK(continuous.max_running == 3);
    CHECK(continuous.token_budget == 77);
    CHECK(find_way("prefixes").prefixes);
    CHECK_FALSE(find_way("prefixes").chunked);
    CHECK(find_way("chunked").options(all).chunked);
    CHECK(find_way("chunked").options(all).draft_tokens == 0);
    CHECK(find_way("speculation").options(all).draft_tokens == 5);
    CHECK_THROWS_WITH_AS(find_way("fast"),
                         "no such way to serve: 'fast'; there are one-by-one, static, "
                         "continuous, prefixes, chunked, speculation",
                         Error);
}

TEST_SUITE_END();
