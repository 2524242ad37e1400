// rounded.cpp - chapter 4, an aside: what tensor cores would do to the bits. They take their
// inputs with fewer digits: TF32 keeps 10 bits behind the leading one, bf16 keeps 7. Here the
// inputs are rounded so, and nothing else is changed: the sums are the contract's, in order.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <iostream>

#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/numerics.hpp>
#include <kvlab/tensor/random.hpp>
#include <kvlab/tensor/report.hpp>
#include <kvlab/tensor/subcommand.hpp>

namespace kvlab::app {

namespace {

constexpr Index kWidth = 576;  // SmolLM2's

struct RoundedFlags {
    std::shared_ptr<OutputFile> json;
};

struct InputFormat {
    const char* name;
    int digits;  // bits behind the leading one
};

constexpr InputFormat kFormats[] = {{"F32", 23}, {"TF32", 10}, {"BF16", 7}};

// The nearest number with so many digits, ties to the even one.
float rounded(float value, int digits) {
    const int drop = 23 - digits;
    if (drop == 0) return value;
    const auto bits = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t half = (1u << (drop - 1)) - 1u + (bits >> drop & 1u);
    return std::bit_cast<float>((bits + half) >> drop << drop);
}

Tensor random_inputs(Shape shape, std::uint64_t seed) {
    Tensor tensor(shape);
    Rng rng(seed);
    for (float& value : tensor.flat()) value = rng.normal();
    return tensor;
}

Tensor product(const Tensor& x, const Tensor& w, int digits) {
    Tensor in = x.clone(), weights = w.clone(), y({x.dim(0), w.dim(0)});
    for (Tensor* tensor : {&in, &weights})
        for (float& value : tensor->flat()) value = rounded(value, digits);
    matmul_plain(in.view(), weights.view(), y.view());
    return y;
}

int run_rounded(const RoundedFlags& flags) {
    const Tensor x = random_inputs({1, kWidth}, 1), w = random_inputs({kWidth, kWidth}, 2);
    const Tensor exact = product(x, w, 23);
    float largest = 0;
    for (const float value : exact.flat()) largest = std::max(largest, std::fabs(value));
    std::cout << "x " << x.shape() << ", w " << w.shape()
              << ": inputs rounded as tensor cores take them, sums as ever\n";
    std::printf("  %-6s %6s %14s %32s\n", "inputs", "digits", "other bits in",
                "largest difference, of largest");
    Json report = new_report("step04_cuda rounded", 1);
    Index other = 0;  // outputs that TF32 changes
    for (const InputFormat& format : kFormats) {
        const Tensor y = product(x, w, format.digits);
        const Index differ = compare_bits(y.flat(), exact.flat()).differ;
        double most = 0;
        for (Index n = 0; n < kWidth; ++n)
            most = std::max(most, std::fabs(static_cast<double>(y(0, n)) -
                                            static_cast<double>(exact(0, n))));
        std::printf("  %-6s %6d %7td of %td %31.1e\n", format.name, format.digits, differ,
                    kWidth, most / static_cast<double>(largest));
        Json row;
        row["inputs"] = format.name;
        row["digits"] = format.digits;
        row["differ"] = differ;
        row["largest_difference"] = most / static_cast<double>(largest);
        row["checksum"] = hex64(checksum(y.flat()));
        report["formats"].push_back(row);
        if (format.digits == 10) other = differ;
    }
    write_json(flags.json, report);
    std::cout << "\nRESULT outputs=" << kWidth << " changed_by_tf32=" << other << std::endl;
    return cli::kHolds;
}

void add_rounded_flags(CLI::App& app, RoundedFlags& flags) {
    cli::add_json_flag(app, flags.json);
}

const cli::Subcommand kRounded{{.place = 60,
                                .name = "rounded",
                                .text = "an aside: what tensor cores' inputs do to the bits"},
                               add_rounded_flags,
                               run_rounded};

}  // namespace

}  // namespace kvlab::app
