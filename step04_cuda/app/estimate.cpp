// estimate.cpp - chapter 4: from counts to time: how fast a GPU could be at best, by what each
// rung moves and computes. An estimate; nothing here was measured on a GPU.
#include <algorithm>
#include <cstdio>
#include <iostream>

#include <kvlab/tensor/report.hpp>
#include <kvlab/tensor/subcommand.hpp>

#include "gpus.hpp"
#include "on_gpu.hpp"
#include "problems.hpp"

namespace kvlab::app {

namespace {

struct EstimateFlags {
    std::string gpu = "A100";
    std::shared_ptr<OutputFile> json;
};

// Microseconds that each part would take alone; the slowest is the estimate.
struct Limits {
    double dram = 0;    // every input and output moves once
    double cache = 0;   // sectors that the warps ask for, from the first-level caches
    double shared = 0;  // wavefronts of shared memory
    double fma = 0;

    double time() const { return std::max({dram, cache, shared, fma}); }

    const char* limit() const {
        return time() == dram     ? "DRAM"
               : time() == cache  ? "sectors"
               : time() == shared ? "shared"
                                  : "fma";
    }
};

// Multiprocessors with something to do.
double busy(const Gpu& gpu, const Ladder& ladder, const simt::LaunchRecord& launch) {
    return static_cast<double>(std::min(gpu.multiprocessors, launch.blocks() * ladder.copies));
}

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
        most = std::max(most, busy(gpu, ladder, launch));
    }
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

std::string percent(double share) {
    return share < 0 ? "?" : concat(static_cast<Index>(share * 100 + 0.5), "%");
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
    json["busy"] = busy(gpu, ladder, launch);
    json["occupancy"] =
        occupancy(launch.kernel, gpu.architecture, launch.threads(), launch.dynamic_shared);
    return json;
}

// `measured` is the same ladder on this machine's GPU, or null.
void print_estimate(const Gpu& gpu, const Ladder& ladder, const Ladder* measured) {
    const std::string times = ladder.copies == 1 ? "" : concat(", ", ladder.copies, " times");
    std::printf("\n%s: %s%s\n  %-10s %8s %9s %8s %8s %8s %8s  %-8s %8s\n",
                ladder.operation.c_str(), ladder.size.c_str(), times.c_str(), "kernel",
                "busy SM", "occupied", "DRAM us", "sectors", "shared", "fma", "limit",
                "at best");
    for (std::size_t i = 0; i < ladder.runs.size(); ++i) {
        const RungRun& run = ladder.runs[i];
        const Limits limits = estimate(gpu, ladder, run);
        const simt::LaunchRecord& launch = main_launch(run);
        const double share =
            occupancy(launch.kernel, gpu.architecture, launch.threads(), launch.dynamic_shared);
        std::printf("  %-10s %8.0f %9s %8.2f %8.2f %8.2f %8.2f  %-8s %5.2f us",
                    run.name.c_str(), busy(gpu, ladder, launch), percent(share).c_str(),
                    limits.dram, limits.cache, limits.shared, limits.fma, limits.limit(),
                    limits.time());
        if (measured != nullptr)
            std::printf("   measured %.2f us", measured->runs[i].seconds * 1e6);
        std::printf("\n");
    }
}

int run_estimate(const EstimateFlags& flags) {
    const Gpu& gpu = find_gpu(flags.gpu);
    check(simt::has_checked_kernels(),
          "estimate: this build has no checked kernels to count with");
    simt::Options options;
    options.mode = simt::Mode::checked;
    const simt::Use use(options);
    const std::vector<Ladder> ladders = run_ladders();
    std::printf("ESTIMATE from counts: the least time that an %s would take\n", gpu.name);
    std::vector<Ladder> measured;
    const std::string why = why_no_gpu();
    if (why.empty()) {
        const OnGpu on_gpu;
        std::printf("GPU: measured beside it on %s\n", device_name().c_str());
        measured = run_ladders();
    } else {
        std::printf("GPU: %s\n", why.c_str());
    }
    Json report = new_report("step04_cuda estimate", 1);
    for (std::size_t i = 0; i < ladders.size(); ++i) {
        const Ladder& ladder = ladders[i];
        print_estimate(gpu, ladder, measured.empty() ? nullptr : &measured[i]);
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
        for (const RungRun& run : measured.empty() ? std::vector<RungRun>() : measured[i].runs)
            json["measured_microseconds"][run.name] = run.seconds * 1e6;
        report["ladders"][ladder.key] = json;
    }
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
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kEstimate{
    {.place = 20,
     .name = "estimate",
     .text = "from counts to the least time on a GPU: not measured"},
    add_estimate_flags,
    run_estimate};

}  // namespace

}  // namespace kvlab::app
