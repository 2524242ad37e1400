// simt.cpp - chapter 4: the executor shows itself: a right kernel with what it cost, one that
// is slow, and one that is wrong. Where there is a GPU, the right one runs there, too.
#include <algorithm>
#include <cstdio>
#include <iostream>

#include <kvlab/cuda/device.hpp>
#include <kvlab/cuda/device_memory.hpp>
#include <kvlab/cuda/simt.hpp>
#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/subcommand.hpp>

#include "on_gpu.hpp"
#include "transpose.cuh"

namespace kvlab::app {

namespace {

using TransposeKernel = Kernel<const float*, float*, int, int>;

constexpr int kRows = 80, kColumns = 70;  // neither is a multiple of the tile

std::vector<float> numbers() {
    std::vector<float> values(kRows * kColumns);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
    return values;
}

// out [columns, rows]; throws simt::Fault if the kernel is found wrong.
std::vector<float> transposed(const TransposeKernel& kernel, const simt::Options& options) {
    const simt::Use use(options);
    const DeviceArray<float> in(numbers(), "in"), out(kRows * kColumns, "out");
    launch(kernel, dim3((kColumns + 31) / 32, (kRows + 31) / 32), dim3(32, 8), 0, in.get(),
           out.get(), kRows, kColumns);
    return out.to_host();
}

bool is_transposed(const std::vector<float>& out) {
    const std::vector<float> in = numbers();
    for (std::size_t row = 0; row < kRows; ++row)
        for (std::size_t column = 0; column < kColumns; ++column)
            if (out[column * kRows + row] != in[row * kColumns + column]) return false;
    return true;
}

// Whether raw and checked give the same bits in every order, and those are right.
bool show_results(const TransposeKernel& kernel, std::string& hex) {
    bool same = true;
    hex = hex64(checksum(transposed(kernel, {})));
    std::vector<simt::Mode> modes = {simt::Mode::raw};
    if (simt::has_checked_kernels()) modes.push_back(simt::Mode::checked);
    for (const simt::Mode mode : modes)
        for (const simt::Order order :
             {simt::Order::forward, simt::Order::reverse, simt::Order::shuffled}) {
            const std::vector<float> out = transposed(kernel, {mode, order, 1, nullptr});
            same = same && is_transposed(out) && hex64(checksum(out)) == hex;
        }
    std::cout << kernel.name << ": raw and checked, threads forward, in reverse and shuffled: "
              << "the right numbers, checksum " << hex << ": " << cli::verdict(same) << "\n";
    return same;
}

void show_counters() {
    simt::Counters padded, plain;
    transposed(transpose, {simt::Mode::checked, simt::Order::forward, 1, &padded});
    transposed(transpose_with_conflicts,
               {simt::Mode::checked, simt::Order::forward, 1, &plain});
    const auto left = simt::counter_lines(padded), right = simt::counter_lines(plain);
    std::printf("\n  %-34s %16s %16s\n", "counted", "rows of 33", "rows of 32");
    for (std::size_t i = 0; i < left.size(); ++i)
        if (left[i].second != 0 || right[i].second != 0)
            std::printf("  %-34s %16td %16td\n", left[i].first.c_str(), left[i].second,
                        right[i].second);
    std::fflush(stdout);
}

bool show_fault() {
    try {
        transposed(transpose_without_barrier,
                   {simt::Mode::checked, simt::Order::forward, 1, nullptr});
    } catch (const simt::Fault& fault) {
        std::cout << "\nThe same kernel without its barrier:\n" << fault.what() << "\n";
        return fault.kind == simt::FaultKind::race;
    }
    std::cout << "\nThe same kernel without its barrier: nothing was reported\n";
    return false;
}

// Whether a GPU, if there is one, gives the same checksum.
bool show_gpu(const std::string& hex) {
    if (const std::string why = why_no_gpu(); !why.empty()) {
        std::cout << "\nGPU: " << why << "\n";
        return true;
    }
    const OnGpu on_gpu;
    const std::string found = hex64(checksum(transposed(transpose, {})));
    std::cout << "\nGPU: " << device_name() << ": "
              << (found == hex ? "the same checksum" : "ANOTHER checksum, " + found) << "\n";
    return found == hex;
}

int run_simt() {
    std::cout << "A matrix of " << kRows << " x " << kColumns
              << ", transposed by tiles of 32 x 32\n";
    std::string hex;
    bool holds = show_results(transpose, hex);
    if (simt::has_checked_kernels()) {
        show_counters();
        holds = show_fault() && holds;
    } else {
        std::cout << "not checked: this build has no checked kernels\n";
    }
    holds = show_gpu(hex) && holds;
    std::cout << "\nRESULT holds=" << (holds ? "yes" : "no") << " checksum=" << hex
              << std::endl;
    return holds ? cli::kHolds : cli::kFails;
}

const cli::Subcommand kSimt{
    {.place = 40,
     .name = "simt",
     .text = "the executor: a right kernel's counters, a wrong one's report"},
    run_simt};

}  // namespace

}  // namespace kvlab::app
