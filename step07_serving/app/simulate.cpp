// simulate.cpp - chapter 7: the scheduler's own code on a machine that is not here; and first,
// on the one that is here, how near such a simulation comes to the real run.
#include <cmath>
#include <iostream>

#include <kvlab/attention/command_line.hpp>
#include <kvlab/serving/decoder_steps.hpp>
#include <kvlab/serving/measure_steps.hpp>
#include <kvlab/serving/replay.hpp>
#include <kvlab/serving/simulated_steps.hpp>
#include <kvlab/serving/watched_steps.hpp>
#include <kvlab/tensor/report.hpp>

#include "cost_lines.hpp"
#include "trace_flags.hpp"

namespace kvlab::app {

namespace {

struct SimulateFlags {
    bool check = false;
    OpenOptions opened = cli::open_options();
    std::string kind = "azure-conversation";
    Index requests = 10000, gpus = 1, weight_bytes = 1, cache_bytes = 1;
    Index running = 256, budget = 512, repeats = 5, rounds = 5, most_tokens = 16384;
    std::vector<double> loads = {0.25, 0.5, 0.75, 1, 1.25, 1.5, 2};
    Deadlines deadlines{.first_token = 2, .per_token = 0.1};
    double tolerance = 0.10;
    std::uint64_t seed = 1;
    std::shared_ptr<OutputFile> json;
};

// A pool for `texts` whole contexts.
PagePool pool_for(const KvShape& shape, Index texts, Index context) {
    return {shape, {.pages = texts * blocks_for(context, kTile)}};
}

// ---- how near it comes ----

class SimulationCheck {
public:
    explicit SimulationCheck(const SimulateFlags& flags)
        : flags_(flags),
          opened_(flags.opened),
          served_(served_model(opened_)),
          decoder_(opened_.decoder, opened_.level),
          own_(decoder_) {}

    // Each round measures steps, and then replays the traces: so both see the machine in the
    // same mood. Of the rounds the medians count.
    int run() {
        const Config& config = opened_.model->config;
        std::printf("%s, %s: %td rounds, each with a fit of its own; of the last one\n",
                    config.name.c_str(), opened_.engine->name().c_str(), flags_.rounds);
        context_ = std::min<Index>(config.context, 1024);
        StepCost cost;
        for (Index round = 0; round < flags_.rounds; ++round) {
            cost = calibrate(
                       model(), opened_.decoder.kv_shape(), served_,
                       spread_workloads(context_, flags_.most_tokens),
                       {.repeats = flags_.repeats, .token_budget = 256, .vocab = config.vocab})
                       .cost;
            for (Compared& one : compared_) compare(one, cost);
        }
        print_cost(cost);
        std::printf("  %-24s %10s %10s %7s %10s %10s\n", "all requests at once", "tokens/s",
                    "simulated", "ratio", "P50 first", "simulated");
        Json report = new_report("step07_serving simulate --check", flags_.seed);
        report["model"] = config.name;
        report["engine"] = opened_.engine->name();
        report["cost"] = to_json(cost);
        report["traces"] = Json::array();
        double worst = 0;
        for (const Compared& one : compared_) {
            report["traces"].push_back(one.print());
            worst = std::max(worst, std::fabs(quartiles(one.ratios).median - 1));
        }
        std::fflush(stdout);
        report["worst"] = worst;
        write_json(flags_.json, report);
        const bool holds = worst <= flags_.tolerance;
        std::cout << "RESULT worst_error=" << format_number(worst)
                  << " within=" << flags_.tolerance << " holds=" << (holds ? "yes" : "no")
                  << std::endl;
        return holds ? cli::kHolds : cli::kFails;
    }

private:
    StepModel& model() {
        if (counts_cpu_time(opened_)) return own_;
        return decoder_;
    }

    ServiceSummary replay_on(StepModel& steps, const RequestTrace& trace) const {
        PagePool pool = pool_for(opened_.decoder.kv_shape(), 16, context_);
        Scheduler scheduler(steps, pool, {.max_running = 16, .token_budget = 256});
        return replay(scheduler, steps, trace, opened_.model->config.vocab, {.speed = 0})
            .summary;
    }

    // One trace, a number for each round.
    struct Compared {
        const char* name;
        std::vector<double> rates = {}, simulated_rates = {}, ratios = {}, firsts = {},
                            simulated_firsts = {};

        Json print() const {
            const auto median = [](const std::vector<double>& x) {
                return quartiles(x).median;
            };
            std::printf("  %-24s %10s %10s %7.3f %8s s %8s s\n", name,
                        format_number(median(rates)).c_str(),
                        format_number(median(simulated_rates)).c_str(), median(ratios),
                        format_number(median(firsts)).c_str(),
                        format_number(median(simulated_firsts)).c_str());
            return {{"trace", name},
                    {"tokens_per_second", rates},
                    {"simulated_tokens_per_second", simulated_rates},
                    {"ratios", ratios},
                    {"first_token_p50", firsts},
                    {"simulated_first_token_p50", simulated_firsts}};
        }
    };

    void compare(Compared& one, const StepCost& cost) {
        const RequestTrace trace = make_trace(find_trace_kind(one.name),
                                              {.requests = std::min<Index>(flags_.requests, 64),
                                               .context = context_,
                                               .seed = flags_.seed});
        SimulatedSteps steps(served_, cost);
        const ServiceSummary real = replay_on(model(), trace),
                             simulated = replay_on(steps, trace);
        one.rates.push_back(real.tokens_per_second);
        one.simulated_rates.push_back(simulated.tokens_per_second);
        one.ratios.push_back(simulated.tokens_per_second / real.tokens_per_second);
        one.firsts.push_back(real.first_token.p50);
        one.simulated_firsts.push_back(simulated.first_token.p50);
    }

    const SimulateFlags& flags_;
    OpenedModel opened_;
    ServedModel served_;
    DecoderSteps decoder_;
    CpuTimeSteps own_;
    Index context_ = 0;
    std::vector<Compared> compared_ = {
        {"azure-conversation"}, {"azure-code"}, {"mooncake-conversation"}};
};

// ---- what no machine here can hold ----

void print_arithmetic(const Machine& machine, const ServedModel& model, Index tokens) {
    const auto giga = [](double bytes) { return format_number(bytes * 1e-9, 3); };
    const auto memory = static_cast<double>(machine.memory_bytes),
               reserved = static_cast<double>(machine.reserved_bytes),
               weights = static_cast<double>(model.resident_bytes);
    std::printf("predicted, not measured: %s and a model of %s billion parameters\n",
                machine.name.c_str(),
                giga(static_cast<double>(model.config.parameters())).c_str());
    std::printf(
        "  %s GB of memory - %s GB for activations - %s GB of weights = %s GB for pages\n",
        giga(memory).c_str(), giga(reserved).c_str(), giga(weights).c_str(),
        giga(memory - reserved - weights).c_str());
    std::printf("  %td bytes of keys and values a token: room for %td tokens\n",
                model.bytes_per_token, std::max<Index>(0, tokens));
    const StepCost cost = machine.cost();
    std::printf("  reading the weights takes %.1f ms a step, whatever is in it\n",
                1e3 * cost.per_weight_byte * static_cast<double>(model.weight_bytes));
}

Json simulate_load(const SimulateFlags& flags,
                   const ServedModel& model,
                   const Machine& machine,
                   Index tokens,
                   double load) {
    const TraceKind& kind = find_trace_kind(flags.kind);
    const RequestTrace trace =
        make_trace(kind, {.requests = flags.requests, .seed = flags.seed});
    SimulatedSteps steps(model, machine.cost());
    PagePool pool(steps.kv_shape(), {.pages = tokens / kTile});
    Scheduler scheduler(steps, pool,
                        {.max_running = flags.running, .token_budget = flags.budget});
    const Replayed result =
        replay(scheduler, steps, trace, 256,
               {.speed = load / kind.per_second, .deadlines = flags.deadlines, .forget = true});
    const ServiceSummary& s = result.summary;
    std::printf("  %6g %9.0f %8.2f %7.1f %9.2f %9.2f %9.1f %9.1f %9.2f\n", load,
                s.tokens_per_second, s.goodput,
                100 * static_cast<double>(s.in_time) / static_cast<double>(s.requests),
                s.first_token.p50, s.first_token.p99, 1e3 * s.per_token.p50,
                1e3 * s.per_token.p99, result.mean_batch);
    std::fflush(stdout);
    Json json = to_json(s);
    json["load"] = load;
    json["mean_batch"] = result.mean_batch;
    json["preempted"] = scheduler.counts().preempted;
    return json;
}

int simulate_machine(const SimulateFlags& flags) {
    const ServedModel model = model_70b(flags.weight_bytes, flags.cache_bytes);
    const Machine machine = h100(flags.gpus, model.config.layers);
    const Index tokens = tokens_that_fit(machine, model);
    print_arithmetic(machine, model, tokens);
    check(tokens >= 20000, "simulate: ", machine.name,
          ": beside the weights there is room for ", std::max<Index>(0, tokens),
          " tokens; a long prompt needs 20000");
    std::printf("  %s, %td requests; in time: first token in %g s, then %g ms a token\n",
                flags.kind.c_str(), flags.requests, flags.deadlines.first_token,
                1e3 * flags.deadlines.per_token);
    std::printf("  %6s %9s %8s %7s %9s %9s %9s %9s %9s\n", "load", "tokens", "goodput",
                "in time", "TTFT P50", "TTFT P99", "TPOT P50", "TPOT P99", "batch");
    std::printf("  %6s %9s %8s %7s %9s %9s %9s %9s %9s\n", "req/s", "per s", "req/s", "%", "s",
                "s", "ms", "ms", "texts");
    Json report = new_report("step07_serving simulate", flags.seed);
    report["predicted"] = true;
    report["machine"] = machine.name;
    report["model"] = model.config.name;
    report["weight_bytes"] = model.weight_bytes;
    report["resident_bytes"] = model.resident_bytes;
    report["bytes_per_token"] = model.bytes_per_token;
    report["tokens_that_fit"] = tokens;
    report["cost"] = to_json(machine.cost());
    report["trace"] = flags.kind;
    report["loads"] = Json::array();
    double best = 0;
    for (const double load : flags.loads) {
        report["loads"].push_back(simulate_load(flags, model, machine, tokens, load));
        best = std::max(best, report["loads"].back()["goodput"].get<double>());
    }
    write_json(flags.json, report);
    std::cout << "RESULT predicted=yes loads=" << flags.loads.size()
              << " best_goodput=" << format_number(best) << std::endl;
    return cli::kHolds;
}

int run_simulate(const SimulateFlags& flags) {
    return flags.check ? SimulationCheck(flags).run() : simulate_machine(flags);
}

void add_simulate_flags(CLI::App& app, SimulateFlags& flags) {
    app.add_flag(
        "--check", flags.check,
        "replay three traces really and simulated, and compare; of at most 64 requests");
    cli::add_model_flags(app, flags.opened);
    cli::add_count(app, "--repeats", flags.repeats, {1, 1000},
                   "of --check: runs of each measured workload");
    cli::add_count(app, "--rounds", flags.rounds, {1, 1000},
                   "of --check: fits and replays, of which the median counts");
    cli::add_count(app, "--most-tokens", flags.most_tokens, {64, 1 << 20},
                   "of --check: leave out workloads with more tokens than that");
    app.add_option("--tolerance", flags.tolerance, "of --check: the largest error that holds")
        ->check(cli::number_between(0, 10))
        ->capture_default_str();
    add_kind_flag(app, flags.kind);
    cli::add_count(app, "--requests", flags.requests, {1, 99999}, "how many");
    cli::add_count(app, "--gpus", flags.gpus, {1, 8}, "H100s that work as one machine");
    cli::add_count(app, "--weight-bytes", flags.weight_bytes, {1, 4}, "bytes of a weight");
    cli::add_count(app, "--cache-bytes", flags.cache_bytes, {1, 4},
                   "bytes of a number in the cache");
    cli::add_count(app, "--running", flags.running, {1, 4096}, "texts in a step, at most");
    cli::add_count(app, "--budget", flags.budget, {1, 1 << 20}, "tokens in a step, at most");
    app.add_option("--loads", flags.loads, "requests that come in a second, each a simulation")
        ->delimiter(',')
        ->check(cli::number_between(1e-3, 1e4))
        ->capture_default_str();
    app.add_option("--first-token", flags.deadlines.first_token, "deadline in seconds")
        ->check(cli::number_between(0, 1e6))
        ->capture_default_str();
    app.add_option("--per-token", flags.deadlines.per_token, "deadline in seconds")
        ->check(cli::number_between(0, 1e6))
        ->capture_default_str();
    app.add_option("-s,--seed", flags.seed, "of the trace")->capture_default_str();
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kSimulate{
    {.place = 66,
     .name = "simulate",
     .text = "the scheduler on a machine that is not here: 70B on H100, by load"},
    add_simulate_flags,
    run_simulate};

}  // namespace

}  // namespace kvlab::app
