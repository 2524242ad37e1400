// step04_grid_test.cpp - cooperative launches: blocks that meet at grid barriers.
#include <doctest/doctest.h>

#include <kvlab/cuda/simt.hpp>

#include "device_support.hpp"
#include "simt_kernels/kernels.cuh"
#include "simt_support.hpp"
#include "skip.hpp"
#include "wrong_kernels.hpp"

using namespace kvlab;
using namespace kvlab::test;
using simt::FaultKind;

TEST_SUITE_BEGIN("step04");

namespace {

// What rounds_of_a_grid leaves in out.
std::vector<float> rounds_by_hand(Index blocks) {
    std::vector<float> kept(usize(blocks * 32));
    for (Index b = 0; b < blocks; ++b)
        for (Index i = 0; i < 32; ++i) at(kept, b * 32 + i) = static_cast<float>(i + b);
    std::vector<float> out = kept;
    for (int round = 0; round < 3; ++round) {
        const std::vector<float> before = out;
        for (Index b = 0; b < blocks; ++b)
            for (Index i = 0; i < 32; ++i) {
                float sum = 0;
                for (Index other = 0; other < blocks; ++other)
                    sum += at(before, other * 32 + (i ^ 1));
                at(kept, b * 32 + i) += sum;
            }
        for (Index i = 0; i < blocks * 32; ++i) at(out, i) = at(kept, i ^ 1);
    }
    return out;
}

constexpr char kGrids[] = "grids.cu";

}  // namespace

TEST_CASE("simt grid: blocks meet, and each keeps its own shared memory") {
    in_all_modes([] {
        for (const unsigned blocks : {1u, 3u, 4u}) {
            CAPTURE(blocks);
            TestData data(32 * Index{blocks});
            data.run_cooperative(rounds_of_a_grid, blocks, 32, 0);
            CHECK(data.out.to_host() == rounds_by_hand(blocks));
            data.run_cooperative(keeps_its_shared_memory, blocks, 32, 64 * 4);
            const std::vector<float> out = data.out.to_host();
            for (Index i = 0; i < 32 * Index{blocks}; ++i) {
                const Index b = i / 32;
                CHECK(at(out, i) ==
                      static_cast<float>(100 * b + (i % 32 ^ 1) + 32 * b + (i % 32 ^ 2)));
            }
        }
    });
}

TEST_CASE("simt grid: a grid barrier is counted, an ordinary launch goes on") {
    if (!simt::has_checked_kernels()) return skip("the thread sanitizer's hooks are taken");
    simt::Counters counters;
    const simt::Use use({simt::Mode::checked, simt::Order::shuffled, 5, &counters});
    TestData data(128);
    data.run_cooperative(rounds_of_a_grid, 4, 32, 0);
    CHECK(counters.grid_barriers == 6);
    CHECK(counters.barriers == 3 * 4);
    // A warp loads its own number, then three times those of four blocks.
    CHECK(counters.loads.requests == 4 * (1 + 3 * 4));
    CHECK(counters.most_loads == 1 + 3 * 4);
    CHECK_THROWS_AS(data.run_cooperative(block_has_returned, 3, 32, 0), simt::Fault);
    data.run(block_sum, 1, 128, 0);
    CHECK(data.out.to_host()[0] == 127.0f * 64.0f);
    data.run_cooperative(block_sum, 1, 128, 0);
    CHECK(data.out.to_host()[0] == 127.0f * 64.0f);
    data.run_cooperative(rounds_of_a_grid, 4, 32, 0);
    CHECK(data.out.to_host() == rounds_by_hand(4));
}

TEST_CASE("simt grid: blocks that do not meet are reported with their line") {
    check_all({
        {no_grid_barrier, kGrids, FaultKind::race, "counts", 2, 32, 0, true},
        {one_grid_barrier_missing, kGrids, FaultKind::race, "counts", 3, 32, 0, true},
        {block_has_returned, kGrids, FaultKind::exited_at_barrier, "", 3, 32, 0, true},
        {thread_misses_the_grid, kGrids, FaultKind::exited_at_barrier, "", 2, 32, 0, true},
        {block_or_grid, kGrids, FaultKind::divergent_barrier, "", 1, 32, 0, true},
        {blocks_at_two_barriers, kGrids, FaultKind::divergent_barrier, "", 2, 32, 0, true},
        {not_launched_together, kGrids, FaultKind::not_cooperative, "", 2, 32},
        {shared_of_another_block, kGrids, FaultKind::uninitialised, "row", 2, 32, 0, true},
    });
}

TEST_CASE("simt grid: raw kernels report blocks that wait in vain") {
    for (const TestKernel& kernel :
         {block_has_returned, thread_misses_the_grid, block_or_grid}) {
        CAPTURE(kernel.name);
        TestData data;
        CHECK_THROWS_AS(data.run_cooperative(kernel, 2, 32, 0), simt::Fault);
    }
    TestData data(64);
    CHECK_THROWS_AS(data.run(rounds_of_a_grid, 2, 32, 0), simt::Fault);  // not cooperative
}

TEST_CASE("simt grid: no more blocks than there is room for") {
    TestData data(32 * 6);
    CHECK(cooperative_blocks(rounds_of_a_grid, 32, 0) == 4);
    CHECK_THROWS_WITH_AS(data.run_cooperative(rounds_of_a_grid, dim3(5), 32, 0),
                         "cooperative launch of 'rounds_of_a_grid': 5 blocks, of which at most "
                         "4 fit on the device together",
                         Error);
    CHECK_THROWS_AS(cooperative_blocks(rounds_of_a_grid, 1025, 0), Error);
    simt::Options options;
    options.resident_blocks = 6;
    const simt::Use use(options);
    CHECK(cooperative_blocks(rounds_of_a_grid, 32, 0) == 6);
    data.run_cooperative(rounds_of_a_grid, 6, 32, 0);
    CHECK(data.out.to_host() == rounds_by_hand(6));
}

TEST_SUITE_END();
