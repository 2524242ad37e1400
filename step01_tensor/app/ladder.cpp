// ladder.cpp - chapter 1: from the plain product to the fast one, rung by rung, one checksum.
#include <iostream>
#include <vector>

#include "app.hpp"

#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/ladder.hpp>
#include <kvlab/tensor/matmul.hpp>
#include <kvlab/tensor/measure.hpp>
#include <kvlab/tensor/simd_level.hpp>

namespace kvlab::app {

namespace {

constexpr Index kT = 96, kK = 576, kN = 1536;

struct Operands {
    Tensor x = random_matrix(kT, kK, kSeed);
    Tensor w = random_matrix(kN, kK, kSeed + 1);
    Tensor transposed{Shape{kK, kN}};
    PackedMatrix packed = PackedMatrix::pack(w.view());

    Operands() {
        for (Index n = 0; n < kN; ++n)
            for (Index k = 0; k < kK; ++k) transposed(k, n) = w(n, k);
    }
};

// Runs the rungs, measures each and compares its checksum with the first one's.
class Ladder {
public:
    explicit Ladder(Json& report) : report_(report) {}

    template <class Product>
    void rung(const std::string& name, SimdLevel level, Product&& product) {
        Tensor y({kT, kN});
        const auto work = [&] { product(y.view()); };
        const Quartiles seconds = time_calls(5, 0.05, Clock::wall, work);
        Checksum sum;
        sum.add(y.flat());
        const double gflops = 2e-9 * static_cast<double>(kT * kK * kN) / seconds.median;
        if (first_.empty()) first_ = sum.hex(), slowest_ = gflops;
        ok_ = ok_ && sum.hex() == first_;
        std::cout << "  " << pad(name, 34) << pad(simd_level_name(level), 10)
                  << pad(format_number(gflops), 7, true)
                  << pad(format_number(gflops / slowest_), 9, true) << "x   " << sum.hex()
                  << "\n";
        report_.push_back({{"rung", name},
                           {"simd", simd_level_name(level)},
                           {"gflops", gflops},
                           {"checksum", sum.hex()}});
    }

    bool ok() const { return ok_; }

    const std::string& checksum() const { return first_; }

private:
    Json& report_;
    std::string first_;
    double slowest_ = 0;
    bool ok_ = true;
};

bool run_ladder(const PartFlags& flags, Json& report, std::string& result) {
    const Operands in;
    const SimdLevel best = default_simd_level();
    const float *x = in.x.data(), *w = in.w.data(), *wt = in.transposed.data();
    std::cout << "The ladder: [" << kT << ", " << kK << "] x [" << kK << ", " << kN << "] on "
              << processor_name() << ", " << compiler_name() << "\n"
              << "  rung                              level     GFLOP/s   faster   checksum\n";
    Ladder ladder(report["ladder"]);
    ladder.rung("plain: one output, one chain", best, [&](const View<float>& y) {
        ladder_kernels(best).plain(kT, kK, kN, x, w, y.data());
    });
    std::vector<float> sums(kN);
    ladder.rung("reordered: a row of outputs", best, [&](const View<float>& y) {
        ladder_kernels(best).reordered(kT, kK, kN, x, wt, sums.data(), y.data());
    });
    ladder.rung("packed: sums stay in registers", best, [&](const View<float>& y) {
        for (Index t = 0; t < kT; ++t)
            tensor_kernels(best).f32->multiply(in.packed.panels(), kK, x + t * kK,
                                               in.packed.panel(0), &y(t, 0), Source::memory);
    });
    ThreadPool one(1), many(flags.threads);
    for (const SimdLevel level : supported_simd_levels())
        ladder.rung("blocked: a weight serves six rows", level, [&](const View<float>& y) {
            matmul(tensor_kernels(level), one, in.x.view(), in.packed, y);
        });
    ladder.rung(concat("threads: ", flags.threads), best, [&](const View<float>& y) {
        matmul(tensor_kernels(best), many, in.x.view(), in.packed, y);
    });
    std::cout << "  one checksum: " << verdict(ladder.ok()) << "\n\n";
    result += concat(" ladder=", ladder.checksum());
    return ladder.ok();
}

const Part kLadder{{.place = 40,
                    .name = "ladder",
                    .text = "from the plain product to the fast one, rung by rung"},
                   run_ladder};

}  // namespace

}  // namespace kvlab::app
