// command.cpp - chapter 4: `step04_cuda bench`: its flags, and its parts in their order.
#include <algorithm>
#include <cstdio>
#include <iostream>

#include <kvlab/cuda/ladders.hpp>
#include <kvlab/cuda/token_pass.hpp>
#include <kvlab/tensor/subcommand.hpp>

#include "../on_gpu.hpp"
#include "bench.hpp"

namespace kvlab::app {

namespace {

constexpr Subject kSubjects[] = {
    {"linear", "every rung of the product", bench_linear},
    {"attention", "every rung of attention", bench_attention},
    {"norm", "every rung of RMSNorm", bench_norm},
    {"argmax", "every rung of argmax", bench_argmax},
    {"tokens", "whole tokens and whole prompts of decoders", bench_tokens},
};

// Returns why there is no GPU, if none is selected.
std::string choose(const std::string& device) {
    if (device == "executor") return "the executor was asked for";
    const std::string why = why_no_gpu();
    if (why.empty() || device == "gpu") select_device(Device::gpu);  // or says why not
    return why;
}

template <class AnyRung>
void list_rungs(const char* operation, std::span<const AnyRung> rungs) {
    for (const AnyRung& rung : rungs)
        std::printf("rung %s %s: %s\n", operation, rung.name, rung.idea);
}

// For scripts: a thing a line, its kind first.
int list_all(const std::string& why_no_gpu) {
    std::printf("device %s\n",
                why_no_gpu.empty() ? "gpu" : concat("executor: ", why_no_gpu).c_str());
    for (const Subject& subject : kSubjects)
        std::printf("subject %s: %s\n", subject.name, subject.text);
    list_rungs("linear", linear_rungs());
    list_rungs("attention", attention_rungs());
    list_rungs("norm", norm_rungs());
    list_rungs("argmax", argmax_rungs());
    list_rungs("token", token_rungs());
    return cli::kHolds;
}

bool wanted(const BenchFlags& flags, const char* name) {
    return flags.only.empty() ||
           std::find(flags.only.begin(), flags.only.end(), name) != flags.only.end();
}

int run_bench(const BenchFlags& flags) {
    const std::string why = choose(flags.device);
    if (flags.list) return list_all(why);
    std::printf("%s\n", device_name().c_str());
    if (!why.empty())
        std::printf(
            "No GPU (%s): small sizes, to see that everything runs and has the CPU's "
            "bits.\nThe times are this CPU's and say nothing about a GPU.\n",
            why.c_str());
    bool holds = false;
    {
        Bench bench(flags);
        // What was measured before something went wrong is worth having.
        std::exception_ptr stopped;
        Json report;
        try {
            bench.measure_machine(why);
            for (const Subject& subject : kSubjects)
                if (wanted(flags, subject.name)) subject.run(bench);
            report = bench.report(Json());
        } catch (const std::exception& error) {
            report = bench.report(error.what());
            stopped = std::current_exception();
        }
        write_json(flags.json, report);
        if (stopped) std::rethrow_exception(stopped);
        holds = bench.holds();
    }
    std::cout << "\nRESULT device=" << device_name()
              << " measured=" << (why.empty() ? "yes" : "no")
              << " same_bits=" << (holds ? "yes" : "no") << std::endl;
    return holds ? cli::kHolds : cli::kFails;
}

void add_bench_flags(CLI::App& app, BenchFlags& flags) {
    std::vector<std::string> subjects;
    for (const Subject& subject : kSubjects) subjects.emplace_back(subject.name);
    app.add_option("--device", flags.device, "auto: the GPU if there is one, else the executor")
        ->check(CLI::IsMember(std::vector<std::string>{"auto", "executor", "gpu"}))
        ->capture_default_str();
    app.add_option("--only", flags.only, "these alone, with commas; default: all")
        ->delimiter(',')
        ->check(CLI::IsMember(subjects));
    app.add_option("-m,--models", flags.models,
                   "GGUF files or names, with commas; none: no file")
        ->delimiter(',')
        ->capture_default_str();
    app.add_option("--synthetic", flags.synthetic, "shapes with random weights")
        ->delimiter(',')
        ->check(CLI::IsMember(std::vector<std::string>{"smollm2", "llama2-7b-layer", "none"}))
        ->capture_default_str();
    app.add_option("--types", flags.types, "of the weights of --synthetic smollm2")
        ->delimiter(',')
        ->check(CLI::IsMember(std::vector<std::string>{"F32", "F16", "Q8_0", "Q4_0", "Q4_1"}))
        ->capture_default_str();
    cli::add_count(app, "--seconds", flags.seconds, {1, 3600},
                   "what would begin later is left out");
    app.add_flag("--small", flags.small, "small sizes and one round: a check, no measurement");
    app.add_flag("--list", flags.list, "prints the device, the subjects and the rungs");
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kBench{
    {.place = 25, .name = "bench", .text = "how fast every kernel and every token is on a GPU"},
    add_bench_flags,
    run_bench};

}  // namespace

}  // namespace kvlab::app
