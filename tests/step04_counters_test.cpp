// step04_counters_test.cpp - the executor runs right kernels without a report, with the same
// bits raw and checked in every order of threads, and counts exactly what was worked
// out by hand.
#include <doctest/doctest.h>

#include <kvlab/tensor/checksum.hpp>

#include "../step04_cuda/app/transpose.cuh"
#include "simt_kernels/kernels.cuh"
#include "simt_support.hpp"
#include "skip.hpp"

using namespace kvlab;
using namespace kvlab::test;
using simt::Counters;

TEST_SUITE_BEGIN("step04");

namespace {

struct RightKernel {
    TestKernel kernel;
    Index n;
    dim3 grid, block;
    Counters expected;
};

struct Outcome {
    std::vector<float> out;
    std::vector<int> counts;
    std::uint64_t bits = 0;
};

Outcome outcome(const RightKernel& right, const simt::Options& options) {
    const simt::Use use(options);
    TestData data(right.n);
    data.run(right.kernel, right.grid, right.block, 0);
    Outcome result{data.out.to_host(), data.counts.to_host()};
    Checksum sum;
    sum.add(result.out);  // what was not written is a NaN of known bits
    for (const int count : result.counts) sum.add_bits(static_cast<std::uint32_t>(count));
    result.bits = sum.value();
    return result;
}

void check_counts(const Counters& found, const Counters& expected) {
    const auto found_lines = simt::counter_lines(found), lines = simt::counter_lines(expected);
    for (std::size_t i = 0; i < lines.size(); ++i) {
        CAPTURE(lines[i].first);
        CHECK(found_lines[i].second == lines[i].second);
    }
    CHECK(found == expected);
}

constexpr simt::Order kOrders[] = {simt::Order::forward, simt::Order::reverse,
                                   simt::Order::shuffled};

// Every order, raw and checked: the same bits; checked: the same counts, and no report.
Outcome check_right(const RightKernel& right) {
    CAPTURE(right.kernel.name);
    const Outcome first = outcome(right, {});
    for (const simt::Order order : kOrders)
        for (const simt::Mode mode : test_modes()) {
            CAPTURE(static_cast<int>(order));
            Counters counters;
            CHECK(outcome(right, {mode, order, 7, &counters}).bits == first.bits);
            if (mode == simt::Mode::checked) check_counts(counters, right.expected);
        }
    return first;
}

// {requests, sectors, at least}; how often one warp loads at most.
Counters global_traffic(simt::GlobalTraffic loads,
                        simt::GlobalTraffic stores,
                        Index most_loads) {
    Counters c;
    c.loads = loads;
    c.most_loads = most_loads;
    c.stores = stores;
    return c;
}

}  // namespace

TEST_CASE("simt counts: one number for each thread and a ragged tail") {
    // 100 numbers in 4 warps: 128 bytes are 4 sectors, three times; the last warp's 4 lanes
    // touch 16 bytes of one.
    Counters expected = global_traffic({4, 13, 13}, {4, 13, 13}, 1);
    expected.fma = expected.add = expected.mul = 100;
    const Outcome result = check_right({fma_with_ragged_tail, 100, 4, 32, expected});
    CHECK(result.out[9] == 82.0f + 27.0f);
}

TEST_CASE("simt counts: a stride of two moves twice the sectors") {
    // 32 lanes spread over 63 floats, 252 bytes: 8 sectors for 128 bytes that are used.
    check_right({every_other, 100, 1, 32, global_traffic({1, 8, 4}, {1, 4, 4}, 1)});
}

TEST_CASE("simt counts: float4 is one access") {
    // 25 of 16 bytes: 400 bytes, 12.5 sectors.
    const Outcome result =
        check_right({copy_float4, 100, 1, 32, global_traffic({1, 13, 13}, {1, 13, 13}, 1)});
    CHECK(result.out == counting_up(100));
}

TEST_CASE("simt counts: a reduction with barriers") {
    // Halving 128 numbers: 2 warps are active at stride 64, one at each of the other six: 8
    // times two loads and a store. Before it each of 4 warps stores once; behind it
    // one load more.
    Counters expected = global_traffic({4, 16, 16}, {1, 1, 1}, 1);
    expected.shared_loads = {17, 17, 17};
    expected.shared_stores = {12, 12, 12};
    expected.barriers = 8;
    CHECK(check_right({block_sum, 128, 1, 128, expected}).out[0] == 8128.0f);
}

TEST_CASE("simt counts: the busiest warp is no average") {
    // Of four warps the second loads once, the third nine times, and the others never.
    Counters expected = global_traffic({10, 10, 10}, {4, 16, 16}, 9);
    CHECK(check_right({one_warp_works, 128, 1, 128, expected}).out[64] == 36.0f);
    if (!simt::has_checked_kernels()) return skip("the thread sanitizer's hooks are taken");
    Counters counters;
    const simt::Use use({simt::Mode::checked, simt::Order::forward, 1, &counters});
    TestData data(256);
    for (const int n : {64, 128, 96})
        launch(one_warp_works, 2, 128, 0, data.in.get(), data.out.get(), data.counts.get(), n);
    // Requests of launches add up, and the busiest warp of all is kept.
    CHECK(counters.loads.requests == 2 * (6 + 10 + 8));
    CHECK(counters.most_loads == 9);
}

TEST_CASE("simt counts: shuffles") {
    Counters expected = global_traffic({1, 4, 4}, {1, 4, 4}, 1);
    expected.shuffles = 5;
    const Outcome sum = check_right({warp_sum, 100, 1, 32, expected});
    CHECK(sum.out[0] == 496.0f);
    CHECK(sum.out[31] == 496.0f);
    // Half a warp shuffles once, the other half three times; they store at different times.
    expected = global_traffic({1, 4, 4}, {2, 4, 4}, 1);
    expected.shuffles = 4;
    const Outcome halves = check_right({half_warps, 100, 1, 32, expected});
    CHECK(halves.out[0] == 8.0f);     // 0 + 8
    CHECK(halves.out[9] == 18.0f);    // lane 17 is not of its segment: 9 + 9
    CHECK(halves.out[16] == 184.0f);  // 16 + 24 = 40, then + 48 = 88, then + 96 = 184
}

TEST_CASE("simt counts: votes and shifts") {
    Counters expected = global_traffic({1, 4, 4}, {3, 12, 12}, 1);
    expected.shuffles = 2;
    expected.ballots = 3;
    const Outcome result = check_right({votes_and_shifts, 100, 1, 32, expected});
    for (int lane = 0; lane < 32; ++lane) {
        const auto i = usize(lane);
        const int above = lane >= 3 ? lane - 3 : lane;
        const int within = lane / 8 * 8 + (lane + 1) % 8;
        CHECK(result.out[i] == static_cast<float>(above + 100 * within));
        CHECK(result.counts[i] == 0x49249249 >> 1);  // each third bit
        CHECK(result.counts[i + 32] == 1);
    }
}

TEST_CASE("simt counts: integer atomics have no order and are no race") {
    // `in` is read twice by each of 100 threads.
    Counters expected = global_traffic({8, 26, 26}, {}, 2);
    expected.shared_stores = {4, 4, 4};
    expected.shared_loads = {4, 4, 4};
    expected.atomics = 100 + 4 * 8 + 100;
    expected.barriers = 8;
    const Outcome result = check_right({histogram, 100, 4, 32, expected});
    CHECK(std::vector<int>(result.counts.begin(), result.counts.begin() + 9) ==
          std::vector<int>{13, 13, 13, 13, 12, 12, 12, 12, 99});
}

TEST_CASE("simt counts: __syncwarp orders a warp") {
    // 2 warps, 3 rounds.
    Counters expected = global_traffic({6, 24, 24}, {6, 24, 24}, 3);
    expected.shared_loads = expected.shared_stores = {6, 6, 6};
    expected.warp_syncs = 12;
    CHECK(check_right({exchange_in_warp, 100, 1, 64, expected}).out[5] == 6.0f);
}

TEST_CASE("simt counts: bytes are told apart where words are shared") {
    // 32 bytes lie in 8 banks.
    Counters expected = global_traffic({}, {2, 8, 8}, 0);
    expected.shared_loads = expected.shared_stores = {2, 2, 2};
    expected.barriers = 1;
    CHECK(check_right({bytes_side_by_side, 100, 1, 64, expected}).out[1] == 62.0f);
}

TEST_CASE("simt counts: bank conflicts") {
    // Loads: 1 + 2 + 32 + 1 + 8 wavefronts, as the kernel says; one would do for each.
    Counters expected = global_traffic({33, 132, 132}, {1, 4, 4}, 33);
    expected.shared_stores = {33, 33, 33};
    expected.shared_loads = {5, 44, 5};
    expected.barriers = 1;
    CHECK(expected.shared_loads.conflicts() == 39);
    check_right({banks, 100, 1, 32, expected});
}

TEST_CASE("simt counts: grids and blocks of three dimensions") {
    // 12 blocks of 16 threads: 64 bytes each.
    const Outcome result = check_right({grid_of_three_dimensions, 192, dim3(2, 3, 2),
                                        dim3(4, 2, 2), global_traffic({}, {12, 24, 24}, 0)});
    for (std::size_t i = 0; i < 192; ++i)
        CHECK(result.out[i] == static_cast<float>(100 * (i / 16) + i % 16));
}

TEST_CASE("simt counts: each instance of a template has shared memory of its own") {
    Counters expected = global_traffic({4, 16, 16}, {2, 8, 8}, 2);
    expected.shared_loads = expected.shared_stores = {4, 4, 4};
    expected.barriers = 2;
    CHECK(check_right({shared_in_a_template, 100, 1, 64, expected}).out[0] == 63.0f * 5.0f);
}

TEST_CASE("simt counts: a transpose with padding has no bank conflicts") {
    // 64 x 96 numbers are 6 tiles, of which each row is a request: 192 of 4 sectors each.
    // Without padding a column's 32 numbers lie in one bank.
    for (const simt::Mode mode : test_modes())
        for (const bool padded : {true, false}) {
            CAPTURE(padded);
            Counters counters, expected = global_traffic({192, 768, 768}, {192, 768, 768}, 4);
            expected.shared_stores = {192, 192, 192};
            expected.shared_loads = {192, padded ? 192 : 192 * 32, 192};
            expected.barriers = 6;
            const simt::Use use({mode, simt::Order::forward, 1, &counters});
            const DeviceArray<float> in(counting_up(64 * 96)), out(64 * 96);
            launch(padded ? transpose : transpose_with_conflicts, dim3(3, 2), dim3(32, 8), 0,
                   in.get(), out.get(), 64, 96);
            if (mode == simt::Mode::checked) check_counts(counters, expected);
            const std::vector<float> result = out.to_host();
            for (std::size_t row = 0; row < 64; ++row)
                for (std::size_t column = 0; column < 96; ++column)
                    REQUIRE(result[column * 64 + row] == static_cast<float>(96 * row + column));
        }
}

TEST_CASE("simt: the order of threads shows where a result depends on it") {
    // 2^24 + 1 + ... + 1 stays 2^24; 1 + ... + 1 + 2^24 does not. Atomics are no race, so only
    // fuzzing the order can tell.
    for (const simt::Mode mode : test_modes()) {
        const auto bits = [&](simt::Order order) {
            return outcome({order_matters, 100, 1, 32, {}}, {mode, order, 1, nullptr})
                .counts[0];
        };
        CHECK(bits(simt::Order::forward) == 0x4b800000);
        CHECK(bits(simt::Order::reverse) == 0x4b800010);  // 2^24 + 32
    }
}

TEST_CASE("simt: shuffled orders repeat by their seed and differ between seeds") {
    const auto bits = [](std::uint64_t seed) {
        return outcome({order_matters, 100, 1, 32, {}},
                       {simt::Mode::raw, simt::Order::shuffled, seed, nullptr})
            .counts[0];
    };
    bool differ = false;
    for (std::uint64_t seed = 1; seed < 9; ++seed) {
        CHECK(bits(seed) == bits(seed));
        differ = differ || bits(seed) != bits(1);
    }
    CHECK(differ);
}

TEST_CASE("simt: counters add up over launches and options end with their scope") {
    Counters counters;
    TestData data;
    {
        const simt::Use use({simt::Mode::raw, simt::Order::forward, 1, &counters});
        data.run(warp_sum, 1, 32, 0);
        data.run(warp_sum, 3, 64, 0);  // writes the same numbers again
    }
    data.run(warp_sum, 1, 32, 0);
    CHECK(counters.shuffles == 5 + 3 * 2 * 5);
}

TEST_CASE("simt: what a raw launch wrote may be read by a checked one") {
    if (!simt::has_checked_kernels()) return skip("the thread sanitizer's hooks are taken");
    TestData first;
    first.run(copy_float4, 1, 32, 0);
    const simt::Use use({simt::Mode::checked, simt::Order::forward, 1, nullptr});
    const DeviceArray<float> last(100, "last");
    launch(copy_float4, 1, 32, 0, first.out.get(), last.get(), first.counts.get(), 100);
    CHECK(last.to_host() == counting_up(100));
}

TEST_CASE("simt: frozen memory is read as before") {
    if (!simt::has_checked_kernels()) return skip("the thread sanitizer's hooks are taken");
    const simt::Use use({simt::Mode::checked, simt::Order::forward, 1, nullptr});
    TestData data;
    device_freeze(data.in.get());
    data.run(copy_float4, 1, 32, 0);
    CHECK(data.out.to_host() == counting_up(100));
    CHECK_THROWS_AS(data.run(unguarded_tail, 4, 32, 0), simt::Fault);  // its bounds hold
}

TEST_SUITE_END();
