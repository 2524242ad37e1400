// roofline.cpp - chapter 1: what this machine can do at most.
#include <iostream>

#include "app.hpp"

#include <kvlab/tensor/roofline.hpp>

namespace kvlab::app {

namespace {

constexpr Index kSamples = 25;

// The two speeds of one row of the table: one thread, N threads.
struct Row {
    double one, all;
};

void print_row(const std::string& what, const std::string& size, Row row, bool two) {
    std::cout << "  " << pad(what, 16) << pad(size, 16)
              << pad(format_number(row.one), 10, true);
    if (two) std::cout << pad(format_number(row.all), 12, true);
    std::cout << "\n";
}

std::string size_text(Index bytes) {
    return bytes < (Index{1} << 20) ? concat(bytes >> 10, " KB") : concat(bytes >> 20, " MB");
}

bool run_roofline(const PartFlags& flags, Json& report, std::string& result) {
    ThreadPool one(1), all(flags.threads);
    const bool two = flags.threads > 1;
    std::cout << "Roofline of " << processor_name() << " (the best of " << kSamples
              << " runs each)\n  " << pad("GFLOP/s of fma", 32) << pad("1 thread", 10, true);
    if (two) std::cout << pad(concat(flags.threads, " threads"), 12, true);
    std::cout << "\n";
    Json& part = report["roofline"];
    part["threads"] = {1, flags.threads};
    Row peak{};
    for (SimdLevel level : supported_simd_levels()) {
        peak.one = peak_gflops(level, one, kSamples);
        peak.all = two ? peak_gflops(level, all, kSamples) : peak.one;
        print_row(simd_level_name(level), "", peak, two);
        part["peak_gflops"][simd_level_name(level)] = {peak.one, peak.all};
    }
    const SimdLevel best = supported_simd_levels().back();
    std::cout << "  " << pad("GB/s read from", 16) << "per thread\n";
    Row memory{};
    const auto once = memory_levels(1), shared = memory_levels(flags.threads);
    for (std::size_t i = 0; i < once.size(); ++i) {
        memory.one = read_bandwidth(best, one, once[i].bytes, kSamples);
        memory.all = two ? read_bandwidth(best, all, shared[i].bytes, kSamples) : memory.one;
        print_row(once[i].name, size_text(once[i].bytes), memory, two);
        part["read_gb_per_s"][once[i].name] = {
            {"bytes_per_thread", {once[i].bytes, shared[i].bytes}},
            {"gb_per_s", {memory.one, memory.all}}};
    }
    const Row ridge{peak.one / memory.one, peak.all / memory.all};
    std::cout << "  ridge point: " << format_number(ridge.one) << " FLOP per byte of DRAM";
    if (two)
        std::cout << " (" << format_number(ridge.all) << " with " << flags.threads
                  << " threads)";
    std::cout
        << "\n  left of it a kernel waits for memory: a matrix-vector product does 0.5 FLOP "
           "per byte\n\n";
    part["ridge_flop_per_byte"] = {ridge.one, ridge.all};
    result +=
        concat(" peak=", format_number(peak.one), "GFLOP/s dram=", format_number(memory.one),
               "GB/s ridge=", format_number(ridge.one));
    return peak.one > 0 && memory.one > 0;
}

const Part kRoofline{{.place = 50,
                      .name = "roofline",
                      .text = "peak fma and memory bandwidth of this machine",
                      .by_default = true},
                     run_roofline};

}  // namespace

}  // namespace kvlab::app
