// by_hand.cpp - chapter 4: the examples that the chapter works out on paper, by the executor
// and by the kernels of the ladders.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

#include <kvlab/cuda/ladders.hpp>
#include <kvlab/cuda/simt.hpp>
#include <kvlab/tensor/numerics.hpp>
#include <kvlab/tensor/worked_examples.hpp>

#include "by_hand.cuh"
#include "waiting.hpp"

namespace kvlab::app {

namespace {

double wide(float x) {
    return static_cast<double>(x);
}

simt::Options checked(simt::Counters* counters) {
    check(simt::has_checked_kernels(),
          "by-hand: this build has no checked kernels to count with");
    return {simt::Mode::checked, simt::Order::forward, 1, counters};
}

std::vector<float> counted_up(Index count) {
    std::vector<float> numbers(usize(count));
    for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<float>(i);
    return numbers;
}

// Ten numbers in blocks of four threads; then without the guard.
void show_threads() {
    constexpr int kCount = 10, kBlocks = 3, kEach = 4;
    const simt::Use use(checked(nullptr));
    const DeviceArray<float> in(counted_up(kCount), "in"), out(kCount, "out");
    launch(twice, kBlocks, kEach, 0, in.get(), out.get(), kCount);
    const std::vector<float> doubled = out.to_host();
    for (int b = 0; b < kBlocks; ++b) {
        std::printf("  block %d:", b);
        for (int t = 0; t < kEach; ++t)
            if (const int i = b * kEach + t; i < kCount)
                std::printf("   out[%d] = %2.0f", i, wide(doubled[usize(i)]));
            else
                std::printf("   nothing");
        std::printf("\n");
    }
    std::printf("without the guard:\n");
    try {
        launch(twice_without_guard, kBlocks, kEach, 0, in.get(), out.get(), kCount);
    } catch (const simt::Fault& fault) {
        const std::string report = fault.what();  // without the address, which changes
        std::printf("  %s\n", report.substr(0, report.find(", address")).c_str());
    }
}

// What one request of 32 lanes moves.
void show_sectors() {
    constexpr int kMost = 576;
    std::printf("  lane i reads in[...]   sectors   bytes moved   of them used\n");
    for (const auto& [first, apart] :
         {std::pair(0, 1), {1, 1}, {0, 2}, {0, 8}, {0, kMost}, {5, 0}}) {
        simt::Counters counters;
        const simt::Use use(checked(&counters));
        const DeviceArray<float> in(counted_up(32 * kMost), "in"), out(32, "out");
        launch(read_apart, 1, 32, 0, in.get(), out.get(), first, apart);
        std::printf("  %3d + %3d i            %7td   %11td   %12td\n", first, apart,
                    counters.loads.sectors, 32 * counters.loads.sectors,
                    apart == 0 ? Index{4} : Index{128});
    }
}

// What one request of 32 lanes for a column costs in shared memory.
void show_banks() {
    std::printf("  floats in a row   wavefronts\n");
    for (const int width : {1, 2, 32, 33, 64, 65}) {
        simt::Counters counters;
        const simt::Use use(checked(&counters));
        const DeviceArray<float> out(32, "out");
        launch(read_column, 1, 32, usize(32 * width) * sizeof(float), out.get(), width);
        std::printf("  %15d   %10td\n", width, counters.shared_loads.wavefronts);
    }
}

// How long a multiprocessor takes for the same loads, by how many of them are under way.
void show_waiting() {
    std::printf("  warps   loads at once   loads   clocks   clocks a load\n");
    for (const auto& [warps, at_once] :
         {std::pair(1, 1), {1, 4}, {4, 1}, {4, 4}, {8, 1}, {16, 1}, {32, 1}}) {
        const int loads = 4 * warps, clocks = clocks_of({warps, 4, at_once, 20});
        std::printf("  %5d   %13d   %5d   %6d   %13.2f\n", warps, at_once, loads, clocks,
                    static_cast<double>(clocks) / loads);
    }
}

// A sum of three chains, whose order matters, by each rung of the product.
void show_chains() {
    constexpr Index kDepth = 3 * 64;
    const float chains[] = {16777216.0f, 1.0f, 1.0f};
    std::vector<float> weights(usize(kDepth), 0.0f);
    for (std::size_t c = 0; c < 3; ++c) weights[64 * c] = chains[c];
    std::printf("  in order     (c0 + c1) + c2 = %.0f\n",
                wide(chains[0] + chains[1] + chains[2]));
    std::printf("  from the end (c2 + c1) + c0 = %.0f\n",
                wide(chains[2] + chains[1] + chains[0]));
    PackedMatrix packed(1, kDepth, TensorType::f32);
    packed.set_outputs(0, std::as_bytes(std::span<const float>(weights)));
    const DeviceArray<float> x(std::vector<float>(usize(kDepth), 1.0f), "x"), y(1, "y");
    int runs = 0, in_order = 0;
    for (const LinearRung& rung : linear_rungs()) {
        const DeviceMatrix w(packed, rung.layout);
        for (const int block : rung.blocks) {
            Scratch scratch;
            rung.run({w, nullptr, View<const float>(x.get(), {1, kDepth}),
                      View<float>(y.get(), {1, 1}), scratch, block});
            ++runs;
            in_order += y.to_host()[0] == chains[0] + chains[1] + chains[2] ? 1 : 0;
        }
    }
    std::printf("  %td rungs of the ladder, with %d sizes of blocks: in order %d times\n",
                std::ssize(linear_rungs()), runs, in_order);
}

// Six slots in three tiles, each weighed against its own maximum, and what every rung of
// attention says if 62 more slots of each tile have a weight of 0.
void show_maximum() {
    constexpr Index kSlots = 3 * 64;
    const float scores[] = {3, 2, 5, 3, 4, 4}, numbers[] = {1, 2, 2, 3, 1, 3};
    std::printf("  tile   scores   own maximum   own sum   maximum   of all so far\n");
    std::vector<float> keys(usize(kSlots), -1000.0f), values(usize(kSlots), 0.0f);
    float maximum = scores[0];
    for (std::size_t tile = 0; tile < 3; ++tile) {
        const float a = scores[2 * tile], b = scores[2 * tile + 1], own = std::max(a, b);
        maximum = std::max(maximum, own);
        float all = 0.0f;  // everything so far, in one go
        for (std::size_t s = 0; s < 2 * tile + 2; ++s) all += kvlab::exp2(scores[s] - maximum);
        std::printf("  %4zu     %.0f, %.0f   %11.0f   %7.2f   %7.0f   %13.3f\n", tile, wide(a),
                    wide(b), wide(own), wide(kvlab::exp2(a - own) + kvlab::exp2(b - own)),
                    wide(maximum), wide(all));
        for (std::size_t i = 0; i < 2; ++i) {
            keys[64 * tile + i] = scores[2 * tile + i];
            values[64 * tile + i] = numbers[2 * tile + i];
        }
    }
    const DeviceArray<float> q(std::vector<float>{1.0f}, "q"), k(keys, "k"), v(values, "v"),
        out(1, "out");
    for (const AttentionRung& rung : attention_rungs()) {
        Scratch scratch;
        rung.run({View<const float>(q.get(), {1, 1, 1}), k.get(), v.get(), 1, kSlots,
                  kSlots - 1, View<float>(out.get(), {1, 1, 1}), scratch});
        std::printf("  %s: %g", rung.name, wide(out.to_host()[0]));
    }
    std::printf("\n");
}

// The largest of eight values: those that are left after each round, and what the kernel says.
void show_tree() {
    const std::vector<float> values = {3, 7, 7, 1, 7, 2, 0, 9};
    std::vector<std::pair<float, int>> left;  // of equal values the lower index is larger
    for (std::size_t i = 0; i < values.size(); ++i)
        left.emplace_back(values[i], -static_cast<int>(i));
    for (;;) {
        for (const auto& [value, index] : left) std::printf("  %d: %.0f", -index, wide(value));
        std::printf("\n");
        if (left.size() == 1) break;
        const std::size_t half = left.size() / 2;
        for (std::size_t t = 0; t < half; ++t) left[t] = std::max(left[t], left[t + half]);
        left.resize(half);
    }
    for (const bool without_the_9 : {false, true}) {
        const DeviceArray<float> eight(values, "values");
        const Index best =
            find_rung(argmax_rungs(), "tree").run({eight.get(), without_the_9 ? 7 : 8, 4});
        std::printf("  argmax_tree with four threads, %s: %td\n",
                    without_the_9 ? "without the 9" : "all eight", best);
    }
}

const cli::Subcommand kByHand = cli::worked_examples(45,
                                                     {{"threads", show_threads},
                                                      {"sectors", show_sectors},
                                                      {"banks", show_banks},
                                                      {"waiting", show_waiting},
                                                      {"chains", show_chains},
                                                      {"maximum", show_maximum},
                                                      {"tree", show_tree}});

}  // namespace

}  // namespace kvlab::app
