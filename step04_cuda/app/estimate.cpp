// estimate.cpp - chapter 4: from counts to time: how fast a GPU could be, by what each rung
// moves, computes and waits for; and, given a report of the bench, how far off that was.
#include <algorithm>
#include <cstdio>
#include <iostream>

#include <kvlab/tensor/subcommand.hpp>

#include "gpus.hpp"
#include "measured.hpp"
#include "problems.hpp"

namespace kvlab::app {

namespace {

struct EstimateFlags {
    std::string gpu = "A100";
    std::string measured;  // a report of the bench
    std::shared_ptr<OutputFile> json;
};

// Microseconds that each part would take alone. All of them go on at the same time, so the
// slowest is what the kernels take; the gaps between launches come on top.
struct Limits {
    double dram = 0;    // every input and output moves once
    double cache = 0;   // sectors that the warps ask for, from the first-level caches
    double shared = 0;  // wavefronts of shared memory
    double fma = 0;
    double latency = 0;  // rounds of loads, each of which waits for the one before
    double rounds = 0;
    double gaps = 0;

    double kernels() const { return std::max({dram, cache, shared, fma, latency}); }

    double time() const { return kernels() + gaps; }

    const char* limit() const {
        return kernels() == dram     ? "DRAM"
               : kernels() == cache  ? "sectors"
               : kernels() == shared ? "shared"
               : kernels() == fma    ? "fma"
                                     : "latency";
    }
};

// Multiprocessors with something to do.
double busy(const Gpu& gpu, const Ladder& ladder, const simt::LaunchRecord& launch) {
    return static_cast<double>(std::min(gpu.multiprocessors, launch.blocks() * ladder.copies));
}

Index divided_up(Index count, Index by) {
    return (count + by - 1) / by;
}

// ANCHOR: rounds
// How often a launch waits for memory with nothing to hide it: blocks come in waves, as many at
// once as fit on the multiprocessors; in each, the warp with the most requests makes them one
// after another, but for those that it has under way together.
double rounds(const Gpu& gpu, const Ladder& ladder, const simt::LaunchRecord& launch) {
    const Index resident =
        occupancy(launch.kernel, gpu.architecture, launch.threads(), launch.dynamic_shared)
            .blocks *
        gpu.multiprocessors;
    const Index waves = divided_up(launch.blocks() * ladder.copies, resident);
    const Index of_a_warp = launch.counters.most_loads;
    return static_cast<double>(waves * divided_up(of_a_warp, loads_under_way(launch.kernel)));
}

// Microseconds of one round. What is asked for beyond every byte once is in a cache at best.
double round_time(const Gpu& gpu, const Ladder& ladder, const RungRun& run) {
    const double asked = static_cast<double>(run.sectors() * ladder.copies);
    const double once = static_cast<double>(divided_up(ladder.estimate_bytes(), 32));
    const double fresh = std::min(1.0, once / asked);
    return (fresh * gpu.latency + (1 - fresh) * gpu.cached) / (gpu.clock * 1e3);
}

// ANCHOR_END: rounds

// ANCHOR: estimate
Limits estimate(const Gpu& gpu, const Ladder& ladder, const RungRun& run) {
    Limits sum;
    double most = 0;  // multiprocessors that one of the launches keeps busy
    for (const simt::LaunchRecord& launch : run.launches) {
        const simt::Counters& c = launch.counters;
        const double clocks =
            busy(gpu, ladder, launch) * gpu.clock * 1e3;  // of all, per microsecond
        const auto per_clock = [&](Index count, double rate) {
            return static_cast<double>(count * ladder.copies) / (clocks * rate);
        };
        sum.cache += per_clock(c.loads.sectors + c.stores.sectors, kSectorsPerClock);
        sum.shared += per_clock(c.shared_loads.wavefronts + c.shared_stores.wavefronts,
                                kWavefrontsPerClock);
        sum.fma += per_clock(c.fma, static_cast<double>(gpu.lanes));
        sum.rounds += rounds(gpu, ladder, launch);
        most = std::max(most, busy(gpu, ladder, launch));
    }
    sum.latency = sum.rounds * round_time(gpu, ladder, run);
    sum.gaps = static_cast<double>(run.launches.size()) * kLaunchGap;
    // A few multiprocessors cannot take in what the DRAM gives.
    const double intake = most * gpu.clock * kBytesPerClock;  // GB/s
    sum.dram =
        static_cast<double>(ladder.estimate_bytes()) / (std::min(gpu.bandwidth, intake) * 1e3);
    return sum;
}

// ANCHOR_END: estimate

// Of the launch that counts most: the one with the most fma.
const simt::LaunchRecord& main_launch(const RungRun& run) {
    return *std::max_element(run.launches.begin(), run.launches.end(),
                             [](const simt::LaunchRecord& a, const simt::LaunchRecord& b) {
                                 return a.counters.fma < b.counters.fma;
                             });
}

double share_of_warps(const Gpu& gpu, const simt::LaunchRecord& launch) {
    return occupancy(launch.kernel, gpu.architecture, launch.threads(), launch.dynamic_shared)
        .share;
}

std::string percent(double share) {
    return share < 0 ? "?" : concat(static_cast<Index>(share * 100 + 0.5), "%");
}

std::optional<double> measured_time(const Measured& measured,
                                    const Ladder& ladder,
                                    const RungRun& run) {
    return measured.microseconds(ladder.bench_operation, ladder.bench_shape, run.name);
}

Json estimate_json(const Gpu& gpu, const Ladder& ladder, const RungRun& run) {
    const Limits limits = estimate(gpu, ladder, run);
    const simt::LaunchRecord& launch = main_launch(run);
    Json json;
    json["rung"] = run.name;
    json["microseconds"] = limits.time();
    json["limit"] = limits.limit();
    json["dram"] = limits.dram;
    json["sectors"] = limits.cache;
    json["shared"] = limits.shared;
    json["fma"] = limits.fma;
    json["latency"] = limits.latency;
    json["rounds"] = limits.rounds;
    json["gaps"] = limits.gaps;
    json["busy"] = busy(gpu, ladder, launch);
    json["occupancy"] = share_of_warps(gpu, launch);
    return json;
}

// By which factor the prediction was wrong, in either direction.
double off(double predicted, double measured) {
    return std::max(predicted / measured, measured / predicted);
}

void print_row(const Gpu& gpu,
               const Ladder& ladder,
               const RungRun& run,
               const Measured& measured) {
    const Limits limits = estimate(gpu, ladder, run);
    const simt::LaunchRecord& launch = main_launch(run);
    const std::optional<double> taken = measured_time(measured, ladder, run);
    std::printf("  %-10s %7.0f %8s %8.2f %8.2f %7.2f %7.2f %6.0f %8.2f %5.1f  %-8s %8.2f   ",
                run.name.c_str(), busy(gpu, ladder, launch),
                percent(share_of_warps(gpu, launch)).c_str(), limits.dram, limits.cache,
                limits.shared, limits.fma, limits.rounds, limits.latency, limits.gaps,
                limits.limit(), limits.time());
    if (taken)
        std::printf("%.2f, %.1f times the estimate\n", *taken, *taken / limits.time());
    else
        std::printf("%s\n", measured.empty() ? "not measured yet" : "not in the report");
}

void print_estimate(const Gpu& gpu, const Ladder& ladder, const Measured& measured) {
    const std::string times = ladder.copies == 1 ? "" : concat(", ", ladder.copies, " times");
    std::printf("\n%s: %s%s\n  %-10s %7s %8s %8s %8s %7s %7s %6s %8s %5s  %-8s %8s   %s\n",
                ladder.operation.c_str(), ladder.size.c_str(), times.c_str(), "kernel",
                "busy SM", "occupied", "DRAM us", "sectors", "shared", "fma", "rounds",
                "latency", "gaps", "limit", "estimate", "measured us");
    for (const RungRun& run : ladder.runs) print_row(gpu, ladder, run, measured);
}

// How far off the estimates of all rungs were.
void print_errors(const Gpu& gpu,
                  const std::vector<Ladder>& ladders,
                  const Measured& measured) {
    Index within = 0, all = 0;
    double largest = 0;
    std::string where;
    for (const Ladder& ladder : ladders)
        for (const RungRun& run : ladder.runs) {
            const std::optional<double> taken = measured_time(measured, ladder, run);
            if (!taken) continue;
            const double factor = off(estimate(gpu, ladder, run).time(), *taken);
            ++all;
            within += factor <= 2 ? 1 : 0;
            if (factor > largest) {
                largest = factor;
                where = concat(ladder.operation, ", ", run.name);
            }
        }
    if (all == 0) return;
    std::printf("\n%td of %td estimates are within a factor of 2; the worst is %.1f: %s\n",
                within, all, largest, where.c_str());
}

Json ladder_json(const Ladder& ladder, const Measured& measured) {
    Json json;
    json["operation"] = ladder.operation;
    json["size"] = ladder.size;
    json["copies"] = ladder.copies;
    for (const Gpu& each : kGpus)
        for (const RungRun& run : ladder.runs)
            json["estimates"][each.name].push_back(estimate_json(each, ladder, run));
    json["bytes"] = ladder.estimate_bytes();
    for (const RungRun& run : ladder.runs) json["counted"][run.name] = run.launches_json();
    json["measured_microseconds"] = Json::object();
    for (const RungRun& run : ladder.runs)
        if (const std::optional<double> taken = measured_time(measured, ladder, run))
            json["measured_microseconds"][run.name] = *taken;
    return json;
}

int run_estimate(const EstimateFlags& flags) {
    const Gpu& gpu = find_gpu(flags.gpu);
    const Measured measured = flags.measured.empty() ? Measured() : Measured(flags.measured);
    check(simt::has_checked_kernels(),
          "estimate: this build has no checked kernels to count with");
    simt::Options options;
    options.mode = simt::Mode::checked;
    const simt::Use use(options);
    const std::vector<Ladder> ladders = run_ladders();
    std::printf("ESTIMATE from counts: the time that an %s would take\nmeasured: %s\n",
                gpu.name, measured.device().c_str());
    Json report = new_report("step04_cuda estimate", 1);
    report["measured_on"] = measured.device();
    for (const Ladder& ladder : ladders) {
        print_estimate(gpu, ladder, measured);
        report["ladders"][ladder.key] = ladder_json(ladder, measured);
    }
    print_errors(gpu, ladders, measured);
    write_json(flags.json, report);
    std::cout << "\nRESULT gpu=" << gpu.name
              << " measured=" << (measured.empty() ? "no" : "yes") << std::endl;
    return cli::kHolds;
}

void add_estimate_flags(CLI::App& app, EstimateFlags& flags) {
    std::vector<std::string> gpus;
    for (const Gpu& gpu : kGpus) gpus.push_back(gpu.name);
    app.add_option("--gpu", flags.gpu, "of which GPU")
        ->check(CLI::IsMember(gpus))
        ->capture_default_str();
    app.add_option("--measured", flags.measured,
                   "a report of `step04_cuda bench --json`, to be shown beside")
        ->check(CLI::ExistingFile);
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kEstimate{
    {.place = 20,
     .name = "estimate",
     .text = "from counts to the time on a GPU, and how far off that was"},
    add_estimate_flags,
    run_estimate};

}  // namespace

}  // namespace kvlab::app
