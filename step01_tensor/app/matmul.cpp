// matmul.cpp - chapter 1: how fast the same bits can be computed.
#include <algorithm>
#include <iostream>
#include <vector>

#include "app.hpp"

#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/matmul.hpp>
#include <kvlab/tensor/numerics.hpp>
#include <kvlab/tensor/roofline.hpp>
#include <kvlab/tensor/simd_level.hpp>

namespace kvlab::app {

namespace {

struct Size {
    Index T, K, N;
};

constexpr Size kSizes[] = {{512, 576, 1536}, {64, 64, 64}, {1, 576, 1536}};
constexpr double kSampleSeconds = 4e-3;

double gflops(Index rows, const Size& size, double seconds) {
    return 2e-9 * static_cast<double>(rows * size.K * size.N) / seconds;
}

struct Speeds {
    bool equal = false;             // the packed product has the plain one's bits
    Quartiles plain, packed, peak;  // GFLOP/s
    double share = 0;               // the fastest packed round / the fastest peak
};

// Compares first, then measures: a wrong product has no speed. The plain loop is timed on at
// most 16 rows, since its speed does not depend on their number.
Speeds measure(const Size& size, SimdLevel level, Index rounds) {
    const Tensor x = random_matrix(size.T, size.K, kSeed);
    const Tensor w = random_matrix(size.N, size.K, kSeed + 1);
    Tensor expected({size.T, size.N}), y({size.T, size.N});
    const PackedMatrix packed = PackedMatrix::pack(w.view());
    ThreadPool pool(1);
    const auto product = [&] {
        matmul(tensor_kernels(level), pool, x.view(), packed, y.view());
    };
    product();
    matmul_plain(x.view(), w.view(), expected.view());
    Speeds speeds;
    speeds.equal = compare_bits(y.flat(), expected.flat()).differ == 0;

    const Index rows = std::min(size.T, Index{16});
    const Quartiles seconds = time_calls(3, kSampleSeconds, Clock::thread_cpu, [&] {
        matmul_plain(x.view().slice(0, 0, rows), w.view(), expected.view().slice(0, 0, rows));
    });
    speeds.plain = {gflops(rows, size, seconds.largest),  gflops(rows, size, seconds.high),
                    gflops(rows, size, seconds.median),   gflops(rows, size, seconds.low),
                    gflops(rows, size, seconds.smallest), seconds.count};
    // Clock rates and neighbours change from one second to the next: the rounds alternate, and
    // the share compares the least disturbed round of each.
    std::vector<double> fast, peak;
    for (Index round = 0; round < rounds; ++round) {
        peak.push_back(peak_gflops(level, pool, 1));
        fast.push_back(gflops(
            size.T, size, time_calls(1, kSampleSeconds, Clock::thread_cpu, product).median));
    }
    speeds.packed = quartiles(fast);
    speeds.peak = quartiles(peak);
    speeds.share = speeds.packed.largest / speeds.peak.largest;
    return speeds;
}

void print_row(const Size& size, const Speeds& speeds) {
    std::cout << "  "
              << pad(concat("[", size.T, ", ", size.K, "] x [", size.K, ", ", size.N, "]"), 26)
              << pad(format_number(speeds.plain.median), 8, true)
              << pad(format_number(speeds.packed.median), 9, true) << "  "
              << pad(concat(format_number(speeds.packed.low), " - ",
                            format_number(speeds.packed.high)),
                     15)
              << " " << pad(format_number(speeds.peak.median), 5, true)
              << pad(format_number(100 * speeds.share), 10, true) << " %     "
              << verdict(speeds.equal) << "\n";
}

bool run_matmul(const PartFlags& flags, Json& report, std::string& result) {
    const SimdLevel level = default_simd_level();
    std::cout
        << "Plain and packed product in GFLOP/s (an fma counts as two), one thread\n  "
        << processor_name() << ", " << simd_level_name(level) << ", " << compiler_name()
        << "; medians of " << flags.rounds
        << " rounds, by processor time;\n  of peak: the best round of one over the best of the "
           "other\n"
        << "  [T, K] x [K, N]              plain   packed  quartiles        peak   of peak  "
           "equal bits\n";
    Json& part = report["matmul"];
    part["simd"] = simd_level_name(level);
    part["threads"] = 1;
    bool ok = true;
    for (const Size& size : kSizes) {
        const Speeds speeds = measure(size, level, flags.rounds);
        print_row(size, speeds);
        part["sizes"].push_back({{"shape", {size.T, size.K, size.N}},
                                 {"plain_gflops", to_json(speeds.plain)},
                                 {"packed_gflops", to_json(speeds.packed)},
                                 {"peak_gflops", to_json(speeds.peak)},
                                 {"share_of_peak", speeds.share},
                                 {"bits_equal", speeds.equal}});
        result += concat(" matmul_", size.T, "x", size.K, "x", size.N, "=",
                         format_number(speeds.packed.median), "GFLOP/s,",
                         format_number(100 * speeds.share), "%");
        ok = ok && speeds.equal;
    }
    std::cout
        << "  One row is a matrix-vector product: the memory sets its speed (roofline).\n\n";
    return ok;
}

const Part kMatmul{{.place = 30,
                    .name = "matmul",
                    .text = "GFLOP/s of the plain and of the packed product",
                    .by_default = true},
                   run_matmul};

}  // namespace

}  // namespace kvlab::app
