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

TEST_CASE("simt async: each misuse of a copy is reported with its line") {
    constexpr char kCopies[] = "copies.cu";
    using simt::FaultKind;
    check_all({
        {reads_before_the_wait, kCopies, FaultKind::copy_in_flight, "row", 1, 32},
        {overwrites_a_copy, kCopies, FaultKind::copy_in_flight, "row", 1, 32},
        {one_wait_too_few, kCopies, FaultKind::copy_in_flight, "rows", 1, 32},
        {never_committed, kCopies, FaultKind::copy_in_flight, "row", 1, 32},
        {no_barrier_after_the_wait, kCopies, FaultKind::race, "row", 1, 32},
        {barrier_before_the_wait, kCopies, FaultKind::race, "row", 1, 32},
        {no_barrier_before_the_next_copy, kCopies, FaultKind::race, "row", 1, 32},
        {source_overwritten, kCopies, FaultKind::copy_in_flight, "counts", 1, 32},
        {source_overwritten_too_early, kCopies, FaultKind::race, "counts", 1, 32},
        {source_of_another_thread, kCopies, FaultKind::race, "counts", 1, 32},
        {source_never_written, kCopies, FaultKind::uninitialised, "out", 1, 32},
        {copies_twelve_bytes, kCopies, FaultKind::wrong_copy, "", 1, 32},
        {more_zeros_than_bytes, kCopies, FaultKind::wrong_copy, "", 1, 32},
        {source_misaligned, kCopies, FaultKind::misaligned, "in", 1, 32},
        {zeros_do_not_align, kCopies, FaultKind::misaligned, "in", 1, 32},
        {target_misaligned, kCopies, FaultKind::misaligned, "row", 1, 32},
        {copies_to_global, kCopies, FaultKind::wrong_copy, "out", 1, 32},
        {copies_from_shared, kCopies, FaultKind::wrong_copy, "row", 1, 32},
        {copies_past_the_end, kCopies, FaultKind::out_of_bounds, "in", 1, 32},
        {copies_past_the_row, kCopies, FaultKind::out_of_bounds, "row", 1, 32},
        {two_copies_to_one_place, kCopies, FaultKind::copy_in_flight, "row", 1, 32},
        {returns_with_a_copy, kCopies, FaultKind::copy_in_flight, "", 1, 32},
    });
}

TEST_CASE("simt async: reports say whose copy it is") {
    if (!simt::has_checked_kernels()) return skip("the thread sanitizer's hooks are taken");
    const simt::Use use({simt::Mode::checked, simt::Order::forward, 1, nullptr});
    const auto said = [](const TestKernel& kernel) {
        TestData data;
        try {
            data.run(kernel, 1, 32, 0);
        } catch (const simt::Fault& fault) {
            const std::string text = fault.what();
            return text.substr(text.find("thread (") + 15);
        }
        return std::string("nothing");
    };
    CHECK(
        said(reads_before_the_wait) ==
        "reads 4 bytes at byte 0 of 'row' (128 bytes, shared memory), which a copy that thread "
        "(0,0,0) has started and not waited for will write (copies.cu:10)");
    CHECK(said(source_overwritten) ==
          "writes 4 bytes at byte 0 of 'counts' (256 bytes, global memory), which a copy that "
          "thread (0,0,0) of block (0,0,0) has started and not waited for may still read "
          "(copies.cu:85)");
    CHECK(said(returns_with_a_copy) ==
          "returns while its copy of 4 bytes is in flight: no wait covers it");
    CHECK(said(copies_twelve_bytes) == "copies 12 bytes, expected 4, 8 or 16");
    CHECK(said(copies_to_global) == "copies 4 bytes to global memory, expected shared memory");
}

TEST_SUITE_END();
