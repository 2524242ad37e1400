// step04_wide_linear_test.cpp - the upper rungs of the product: their bits where their tiles,
// rows and chains end, what they move, and when the engine takes which.
#include <doctest/doctest.h>

#include <algorithm>

#include <kvlab/cuda/cuda_engine.hpp>

#include "kernel_problems.hpp"

using namespace kvlab;
using namespace kvlab::test;

TEST_SUITE_BEGIN("step04");

namespace {

std::vector<const LinearRung*> upper_rungs() {
    std::vector<const LinearRung*> rungs;
    for (const char* name : {"vector", "wide", "pipelined"})
        rungs.push_back(&find_rung(linear_rungs(), name));
    return rungs;
}

// The launches that `run` makes, checked.
template <class Run>
std::vector<simt::LaunchRecord> launches_of(Run&& run) {
    std::vector<simt::LaunchRecord> launches;
    simt::Options options;
    options.mode = simt::Mode::checked;
    options.records = &launches;
    const simt::Use use(options);
    run();
    return launches;
}

// R rows of x and an N x K matrix, side by side: every sector is there from its first byte on.
std::vector<simt::LaunchRecord> traffic(
    const LinearRung& rung, TensorType type, Index R, Index N, Index K) {
    const LinearProblem product(type, R, K, N, 3);
    const DeviceMatrix w(product.packed, rung.layout);
    const DeviceRows x(R, K, product.x.flat(), 0), y(R, N, 0);
    Scratch scratch;
    return launches_of([&] { rung.run({w, nullptr, x.view(), y.view(), scratch}); });
}

}  // namespace

TEST_CASE("linear: the upper rungs at rows around a warp and a tile") {
    for (const Index R : {2, 4, 5, 8, 9, 31, 32, 33, 65, 127, 128, 129})
        for (const Index K : {7, 31, 33, 95, 129}) {
            const LinearProblem product(TensorType::f32, R, K, 67,
                                        static_cast<std::uint64_t>(R * 200 + K));
            for (const LinearRung* rung : upper_rungs()) {
                CAPTURE(std::string(rung->name));
                CAPTURE(R);
                CAPTURE(K);
                CHECK(product.holds(*rung, 0, normals(67, 8)));
            }
        }
}

TEST_CASE("linear: the upper rungs, every format, at depths that end inside of a chain") {
    for (const TensorType type : kTensorTypes)
        for (const Index K : {32, 64, 96, 160})
            for (const Index R : {1, 3, 8, 130}) {
                const LinearProblem product(type, R, whole_blocks(type, K), 129, 4);
                for (const LinearRung* rung : upper_rungs()) {
                    CAPTURE(std::string(type_name(type)));
                    CAPTURE(std::string(rung->name));
                    CAPTURE(K);
                    CAPTURE(R);
                    CHECK(product.holds(*rung, 0));
                }
            }
}

TEST_CASE("linear: the upper rungs, every format, checked with threads in three orders") {
    if (!simt::has_checked_kernels()) return;
    for (const simt::Order order :
         {simt::Order::forward, simt::Order::reverse, simt::Order::shuffled}) {
        const simt::Use use({simt::Mode::checked, order, 3, nullptr});
        for (const TensorType type : kTensorTypes)
            for (const Index R : {5, 9}) {
                const LinearProblem product(type, R, whole_blocks(type, 160), 70, 5);
                for (const LinearRung* rung : upper_rungs()) {
                    CAPTURE(std::string(type_name(type)));
                    CAPTURE(std::string(rung->name));
                    CAPTURE(R);
                    CHECK(product.holds(*rung, 0));
                }
            }
        // A depth that is no multiple of eight, in the two formats that can have one.
        for (const TensorType type : {TensorType::f32, TensorType::f16})
            for (const LinearRung* rung : upper_rungs()) {
                CAPTURE(std::string(rung->name));
                CHECK(LinearProblem(type, 3, 77, 66, 6).holds(*rung, 0));
            }
    }
}

TEST_CASE("linear: wide and pipelined move every sector whole, without bank conflicts") {
    if (!simt::has_checked_kernels()) return;
    for (const TensorType type : kTensorTypes)
        for (const LinearRung* rung : upper_rungs()) {
            const Index R = std::string(rung->name) == "pipelined" ? 128 : 8;
            const auto launches = traffic(*rung, type, R, 128, whole_blocks(type, 192));
            CAPTURE(std::string(type_name(type)));
            CAPTURE(std::string(rung->name));
            for (const simt::LaunchRecord& launch : launches) {
                const simt::Counters& c = launch.counters;
                CHECK(c.shared_loads.conflicts() == 0);
                CHECK(c.shared_stores.conflicts() == 0);
                // In a warp of `vector` two chains read an input each, 64 apart.
                if (std::string(rung->name) != "vector")
                    CHECK(c.loads.sectors == c.loads.minimal);
            }
        }
}

TEST_CASE("linear: narrower weights are fewer sectors, in the wide kernel all of them once") {
    if (!simt::has_checked_kernels()) return;
    constexpr Index R = 2, N = 64, K = 128;
    const auto loaded = [&](const LinearRung& rung, TensorType type) {
        return traffic(rung, type, R, N, K)[0].counters.loads.sectors;
    };
    const LinearRung &vector = find_rung(linear_rungs(), "vector"),
                     &wide = find_rung(linear_rungs(), "wide");
    constexpr TensorType narrower[] = {TensorType::f32, TensorType::f16, TensorType::q8_0,
                                       TensorType::q4_1, TensorType::q4_0};
    for (const TensorType type : narrower)
        CHECK(loaded(wide, type) == (N * bytes_for(type, K) + R * K * 4) / 32);
    for (std::size_t i = 1; i < std::size(narrower); ++i)
        CHECK(loaded(vector, narrower[i]) < loaded(vector, narrower[i - 1]));
}

TEST_CASE("linear: the wide kernel takes eight rows at a time, in two launches") {
    if (!simt::has_checked_kernels()) return;
    const LinearRung& wide = find_rung(linear_rungs(), "wide");
    const LinearProblem product(TensorType::f32, 20, 130, 200, 3);
    const DeviceMatrix w(product.packed, wide.layout);
    const DeviceRows x(20, 130, product.x.flat()), y(20, 200);
    Scratch scratch;
    const auto launches = launches_of([&] {
        wide.run({w, nullptr, x.view(), y.view(), scratch});
    });
    REQUIRE(launches.size() == 6);
    for (std::size_t i = 0; i < 6; i += 2) {
        CHECK(launches[i].kernel == "linear_chains");
        CHECK(launches[i].blocks() == 4 * 3);  // panels, chains
        CHECK(launches[i + 1].kernel == "combine_chains");
        CHECK(launches[i + 1].blocks() == 2 * (i == 4 ? 4 : 8));
    }
    CHECK(scratch.bytes() == 2 * 4096 * 4);  // for 3 chains of 8 rows of 200 floats
}

TEST_CASE("linear: which kernel suits how many rows and outputs") {
    const auto suits = [](Index rows, Index outputs) {
        return std::string(linear_rung_for(rows, outputs).name);
    };
    CHECK(suits(1, 64) == "wide");
    CHECK(suits(1, 4 * 132 * 64 - 64) == "wide");
    CHECK(suits(1, 4 * 132 * 64 - 63) == "vector");  // a last panel of one output
    CHECK(suits(1, 49152) == "vector");
    CHECK(suits(2, 49152) == "wide");
    CHECK(suits(8, 576) == "wide");
    CHECK(suits(9, 576) == "shared");
    CHECK(suits(16, 49152) == "shared");
    CHECK(suits(17, 576) == "registers");
    CHECK(suits(17, 49152) == "pipelined");
    CHECK(suits(128, 3072) == "registers");
    CHECK(suits(256, 3072) == "registers");
    CHECK(suits(257, 3072) == "pipelined");
    for (const Index rows : {1, 8, 16, 17, 1000})
        for (const Index outputs : {1, 576, 49152})
            CHECK(linear_rung_for(rows, outputs).layout == MatrixLayout::panels);
}

TEST_CASE("linear: the engine launches the kernel that suits, or the one that it was told") {
    const auto names = [](const KernelChoice& choice, Index R) {
        const auto engine = make_cuda_engine(choice);
        const LinearProblem product(TensorType::f32, R, 64, 70, 3);
        const LinearRung& rung =
            choice.linear != nullptr ? *choice.linear : linear_rung_for(R, 70);
        const DeviceMatrix w(product.packed, rung.layout);
        const DeviceRows x(R, 64, product.x.flat()), y(R, 70);
        std::vector<simt::LaunchRecord> launches;
        {
            simt::Options options;
            options.records = &launches;
            const simt::Use use(options);
            engine->linear(w, nullptr, x.view(), y.view());
        }
        CHECK(is_equal(y.values(), product.expected.flat()));
        std::string all;
        for (const simt::LaunchRecord& launch : launches) all += launch.kernel + " ";
        return all;
    };
    CHECK(names({}, 1) == "linear_chains combine_chains ");
    CHECK(names({}, 8) == "linear_chains combine_chains ");
    CHECK(names({}, 9) == "linear_shared ");
    CHECK(names({}, 17) == "linear_registers ");
    for (const LinearRung* rung : upper_rungs())
        CHECK(names({rung, nullptr, nullptr}, 9)
                  .find(std::string(rung->name) == "wide" ? "linear_chains" : rung->name) !=
              std::string::npos);
    CHECK(names({&find_rung(linear_rungs(), "naive"), nullptr, nullptr}, 1) == "linear_naive ");
}

TEST_SUITE_END();
