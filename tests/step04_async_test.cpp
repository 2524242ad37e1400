// step04_async_test.cpp - asynchronous copies: what they bring, when, and what they cost.
#include <doctest/doctest.h>

#include <kvlab/cuda/simt.hpp>

#include "device_support.hpp"
#include "simt_kernels/kernels.cuh"
#include "simt_support.hpp"
#include "skip.hpp"
#include "wrong_kernels.hpp"

using namespace kvlab;
using namespace kvlab::test;

TEST_SUITE_BEGIN("step04");

TEST_CASE("simt async: copies bring their bytes, and zeros where there are none") {
    in_all_modes([] {
        for (const Index n : {1, 31, 32, 33, 64}) {
            CAPTURE(n);
            TestData data(n);
            data.run(copies_one_float, 1, 64, 0);
            const std::vector<float> out = data.out.to_host();
            for (Index i = 0; i < n; ++i) {
                CAPTURE(i);
                CHECK(at(out, i) == ((i ^ 1) < n ? static_cast<float>(i ^ 1) : 0.0f));
            }
        }
        TestData data(64);
        data.run(copies_half, 1, 32, 0);
        const std::vector<float> out = data.out.to_host();
        for (Index i = 0; i < 64; ++i)
            CHECK(at(out, i) == (i % 2 == 0 ? static_cast<float>(i) : 0.0f));
    });
}

TEST_CASE("simt async: two buffers with one copy in flight") {
    in_all_modes([] {
        for (const Index rounds : {1, 2, 5}) {
            TestData data(128 * rounds);
            data.run(double_buffer, 1, 32, 0);
            const std::vector<float> out = data.out.to_host();
            for (Index i = 0; i < 32; ++i) {
                float sum = 0;
                for (Index r = 0; r < rounds; ++r)
                    for (Index k = 0; k < 4; ++k)
                        sum += static_cast<float>(128 * r + 4 * (i ^ 1) + k);
                CHECK(at(out, i) == sum);
            }
        }
    });
}

TEST_CASE("simt async: nothing arrives before the wait that covers it") {
    for (const simt::Order order : {simt::Order::forward, simt::Order::reverse}) {
        const simt::Use use({simt::Mode::raw, order, 7, nullptr});
        TestData data;
        data.run(looks_too_early, 1, 32, 0);
        CHECK(data.counts.to_host()[0] == 0);
        CHECK(data.counts.to_host()[1] == 32);
    }
}

TEST_CASE("simt async: a copy counts as a load and a store to shared memory") {
    if (!simt::has_checked_kernels()) return skip("the thread sanitizer's hooks are taken");
    simt::Counters counters;
    const simt::Use use({simt::Mode::checked, simt::Order::forward, 1, &counters});
    TestData data(256);
    data.run(double_buffer, 1, 32, 0);
    CHECK(counters.async_copies == 64);
    // A warp copies 512 bytes: 16 sectors, and 4 rows of banks.
    CHECK(counters.loads == simt::GlobalTraffic{2, 32, 32});
    CHECK(counters.shared_stores == simt::SharedTraffic{2, 8, 8});
}

TEST_SUITE_END();
