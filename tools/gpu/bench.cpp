// bench.cpp - kvlab_gpu_bench: what tools/gpu.sh measures on a GPU. Under the executor, which
// has no time of its own, it shows that everything runs and has the CPU's bits.
//
//   kvlab_gpu_bench device             prints "gpu", or "executor: " and why
//   kvlab_gpu_bench machine FILE       the GPU's data, one JSON object
//   kvlab_gpu_bench rungs              prints the ladders, a rung a line: "linear naive"
//   kvlab_gpu_bench ladders FILE       every rung, one JSON object a line
//   kvlab_gpu_bench decoder FILE       whole tokens, in the same way
#include <cstdio>
#include <iostream>

#include <kvlab/tensor/subcommand.hpp>

#include "bench.hpp"

using namespace kvlab;

namespace {

struct Flags {
    std::string device = "auto", file;
    bool small = false;
};

// Selects what the flag asks for; returns why there is no GPU, if none is selected.
std::string choose_device(const Flags& flags) {
    std::string why = "asked for";
    if (flags.device != "executor" && (gpu_available(&why) || flags.device == "gpu"))
        select_device(Device::gpu);  // or says why not
    return selected_device() == Device::gpu ? std::string() : why;
}

// 13020 is 13.2.
double version(int number) {
    return number / 1000 + number % 1000 / 10 / 10.0;
}

Json machine(const std::string& why_not) {
    const bench::DeviceFacts facts = bench::device_facts();
    Json row = new_report("kvlab_gpu_bench machine", 0);
    row["device"] = device_name();
    if (!why_not.empty()) row["why_no_gpu"] = why_not;
    row["compute_capability"] = facts.capability / 10.0;
    row["multiprocessors"] = facts.multiprocessors;
    row["clock_mhz"] = facts.clock_mhz;
    row["memory_clock_mhz"] = facts.memory_clock_mhz;
    row["bus_bits"] = facts.bus_bits;
    row["second_level_bytes"] = facts.second_level_bytes;
    row["memory_bytes"] = facts.memory_bytes;
    row["driver_cuda"] = version(facts.driver_cuda);
    row["runtime_cuda"] = version(facts.runtime_cuda);
    row["peak_gb_per_s"] = facts.peak_gb_per_s();
    row["copied_gb_per_s"] = bench::copied_gb_per_s();
    return row;
}

template <class AnyRung>
void print_rungs(const char* operation, std::span<const AnyRung> rungs) {
    for (const AnyRung& rung : rungs) std::cout << operation << ' ' << rung.name << '\n';
}

int measure(const Flags& flags, bool (*part)(const bench::Setting&)) {
    choose_device(flags);
    bench::Rows rows(flags.file);
    const bool same = part({flags.small, bench::device_facts(), &rows});
    std::cout << "RESULT device=" << device_name() << " same_bits=" << (same ? "yes" : "no")
              << std::endl;
    return same ? cli::kHolds : cli::kFails;
}

int run_device(const Flags& flags) {
    const std::string why_not = choose_device(flags);
    std::cout << (why_not.empty() ? "gpu" : "executor: " + why_not) << '\n';
    return cli::kHolds;
}

int run_rungs() {
    print_rungs("linear", linear_rungs());
    print_rungs("norm", norm_rungs());
    print_rungs("attention", attention_rungs());
    return cli::kHolds;
}

int run_machine(const Flags& flags) {
    const std::string why_not = choose_device(flags);
    bench::Rows(flags.file).add(machine(why_not));
    return cli::kHolds;
}

void add_device_flag(CLI::App& app, Flags& flags) {
    app.add_option("--device", flags.device, "auto: a GPU, if there is one")
        ->check(CLI::IsMember({"auto", "gpu", "executor"}));
}

void add_flags(CLI::App& app, Flags& flags) {
    add_device_flag(app, flags);
    app.add_flag("--small", flags.small, "small sizes and one round: a check, no measurement");
    app.add_option("file", flags.file, "where the figures go")->required();
}

const cli::Subcommand kDevice{
    {.place = 10, .name = "device", .text = "prints what would be used, and why"},
    add_device_flag,
    run_device};
const cli::Subcommand kRungs{{.place = 20, .name = "rungs", .text = "prints the ladders"},
                             run_rungs};
const cli::Subcommand kMachine{
    {.place = 30, .name = "machine", .text = "the GPU's data"}, add_flags, run_machine};
const cli::Subcommand kLadders{
    {.place = 40, .name = "ladders", .text = "every rung of every ladder"},
    add_flags,
    +[](const Flags& flags) { return measure(flags, bench::run_ladders); }};
const cli::Subcommand kDecoder{
    {.place = 50, .name = "decoder", .text = "whole tokens of SmolLM2's shape"},
    add_flags,
    +[](const Flags& flags) { return measure(flags, bench::run_decoder); }};

}  // namespace

int main(int argc, char** argv) {
    const cli::Program program{.name = "kvlab_gpu_bench", .text = "what tools/gpu.sh measures"};
    return program.run(argc, argv);
}
