// step04_simt_test.cpp - the executor: each wrong kernel is reported with its kind, its kernel
// and its line; right ones are not.
#include <doctest/doctest.h>

#include <kvlab/cuda/device_memory.hpp>
#include <kvlab/cuda/simt.hpp>

#include "simt_kernels/kernels.cuh"
#include "simt_support.hpp"
#include "skip.hpp"
#include "wrong_kernels.hpp"

using namespace kvlab;
using namespace kvlab::test;
using simt::FaultKind;

TEST_SUITE_BEGIN("step04");

namespace {

constexpr char kGlobal[] = "bounds.cu", kRaces[] = "races.cu", kWaiting[] = "waiting.cu";

}  // namespace

TEST_CASE("simt: accesses outside of memory are reported with their line") {
    check_all({
        {unguarded_tail, kGlobal, FaultKind::out_of_bounds, "in", 4, 32},
        {store_past_the_end, kGlobal, FaultKind::out_of_bounds, "out", 4, 32},
        {before_the_beginning, kGlobal, FaultKind::out_of_bounds, "out", 1, 32},
        {shared_past_the_end, kGlobal, FaultKind::out_of_bounds, "row", 1, 32},
        {shared_into_the_next_array, kGlobal, FaultKind::out_of_bounds, "first", 1, 64},
        {dynamic_shared_too_small, kGlobal, FaultKind::out_of_bounds, "dynamic shared memory",
         1, 32, 31 * sizeof(float)},
        {wild_pointer, kGlobal, FaultKind::not_device_memory, "", 1, 1},
        {float4_past_the_end, kGlobal, FaultKind::out_of_bounds, "in", 1, 32},
        {misaligned_float4, kGlobal, FaultKind::misaligned, "in", 1, 1},
        {misaligned_shared_float2, kGlobal, FaultKind::misaligned, "row", 1, 32},
        {writes_its_input, kGlobal, FaultKind::write_to_frozen, "in", 1, 32},
        {wrong_in_a_function, kGlobal, FaultKind::out_of_bounds, "in", 1, 32},
        {wrong_in_an_inlined_function, kGlobal, FaultKind::out_of_bounds, "in", 1, 1},
    });
}

TEST_CASE("simt: reads of what was never written are reported with their line") {
    check_all({
        {uninitialised_global, kGlobal, FaultKind::uninitialised, "out", 1, 32},
        {uninitialised_shared, kGlobal, FaultKind::uninitialised, "row", 1, 32},
        {uninitialised_dynamic, kGlobal, FaultKind::uninitialised, "dynamic shared memory", 1,
         32, 128},
        {shared_of_the_block_before, kGlobal, FaultKind::uninitialised, "row", 2, 32},
        {uninitialised_atomic, kGlobal, FaultKind::uninitialised, "count", 1, 32},
    });
}

TEST_CASE("simt: races are reported with both lines") {
    check_all({
        {no_barrier_before_read, kRaces, FaultKind::race, "row", 1, 32},
        {no_barrier_before_write, kRaces, FaultKind::race, "row", 1, 32},
        {all_write_one_word, kRaces, FaultKind::race, "first", 1, 32},
        {reduction_without_barrier, kRaces, FaultKind::race, "sums", 1, 128},
        {shuffle_is_no_barrier, kRaces, FaultKind::race, "row", 1, 32},
        {syncwarp_is_no_block_barrier, kRaces, FaultKind::race, "row", 1, 64},
        {global_without_barrier, kRaces, FaultKind::race, "counts", 1, 32},
        {blocks_write_one_word, kRaces, FaultKind::race, "out", 2, 32},
        {block_reads_what_another_wrote, kRaces, FaultKind::race, "counts", 3, 32},
        {block_writes_what_another_read, kRaces, FaultKind::race, "counts", 2, 32},
        {plain_increment, kRaces, FaultKind::race, "counts", 1, 32},
        {atomic_and_plain, kRaces, FaultKind::race, "counts", 1, 32},
        {two_write_one_float4, kRaces, FaultKind::race, "row", 1, 32},
    });
}

TEST_CASE("simt: threads that wait in vain are reported with their line") {
    check_all({
        {returned_before_barrier, kWaiting, FaultKind::exited_at_barrier, "", 2, 64},
        {barrier_in_one_branch, kWaiting, FaultKind::exited_at_barrier, "", 1, 32},
        {barrier_in_each_branch, kWaiting, FaultKind::divergent_barrier, "", 1, 32},
        {barriers_by_thread, kWaiting, FaultKind::exited_at_barrier, "", 1, 4},
        {lane_has_returned, kWaiting, FaultKind::missing_lane, "", 1, 32},
        {lane_waits_at_barrier, kWaiting, FaultKind::missing_lane, "", 1, 32},
        {lane_does_not_exist, kWaiting, FaultKind::missing_lane, "", 1, 48},
        {shuffles_in_two_places, kWaiting, FaultKind::divergent_warp, "", 1, 32},
        {ballot_and_shuffle, kWaiting, FaultKind::divergent_warp, "", 1, 32},
        {masks_differ, kWaiting, FaultKind::divergent_warp, "", 1, 32},
        {lane_leaves_itself_out, kWaiting, FaultKind::lane_not_in_mask, "", 1, 32},
        {source_not_in_mask, kWaiting, FaultKind::inactive_source, "", 1, 32},
    });
}

TEST_CASE("simt: block and thread of a report are those that did it") {
    if (!simt::has_checked_kernels()) return skip("the thread sanitizer's hooks are taken");
    const simt::Use use({simt::Mode::checked, simt::Order::forward, 1, nullptr});
    TestData data;
    try {
        data.run(unguarded_tail, 4, 32, 0);  // 100 numbers: the fifth thread of the last block
        FAIL_CHECK("nothing was reported");
    } catch (const simt::Fault& fault) {
        CHECK(fault.block.x == 3);
        CHECK(fault.thread.x == 4);
        CHECK(fault.thread.y == 0);
        CHECK(std::string(fault.what()).find("block (3,0,0), thread (4,0,0)") !=
              std::string::npos);
    }
}

TEST_CASE("simt: waiting in vain is reported by raw kernels as well") {
    for (const TestKernel& kernel :
         {barrier_in_one_branch, lane_has_returned, lane_does_not_exist, lane_leaves_itself_out,
          source_not_in_mask}) {
        CAPTURE(kernel.name);
        TestData data;
        CHECK_THROWS_AS(data.run(kernel, 1, 48, 0), simt::Fault);
    }
}

TEST_CASE("simt: after a report the next launch begins anew") {
    for (const simt::Mode mode : test_modes()) {
        const simt::Use use({mode, simt::Order::forward, 1, nullptr});
        TestData wrong, right(128);
        CHECK_THROWS_AS(wrong.run(barrier_in_one_branch, 1, 32, 0), simt::Fault);
        CHECK_THROWS_AS(wrong.run(lane_has_returned, 1, 32, 0), simt::Fault);
        right.run(block_sum, 1, 128, 0);
        CHECK(right.out.to_host()[0] == 127.0f * 64.0f);
    }
}

TEST_CASE("simt: memory that was freed and memory of the host are told apart") {
    if (!simt::has_checked_kernels()) return skip("the thread sanitizer's hooks are taken");
    const simt::Use use({simt::Mode::checked, simt::Order::forward, 1, nullptr});
    TestData data;
    float* gone = nullptr;
    {
        DeviceArray<float> freed(64, "freed");
        gone = freed.get();
    }
    const std::vector<float> host(64);
    const auto kind_of = [&](const float* in) {
        try {
            launch(every_other, 1, 32, 0, in, data.out.get(), data.counts.get(), 64);
        } catch (const simt::Fault& fault) {
            return simt::fault_name(fault.kind);
        }
        return std::string("nothing");
    };
    CHECK(kind_of(gone) == "use after free");
    const std::string of_host = kind_of(host.data());
    CHECK((of_host == "not device memory" || of_host == "out of bounds"));  // if it is near
    CHECK_THROWS_AS(device_free(gone), Error);
    CHECK_THROWS_AS(DeviceArray<float>(0), Error);
    CHECK_THROWS_AS(copy_bytes_to_device(data.in.get() + 99, host.data(), 8), Error);
    std::vector<float> back(8);
    CHECK_THROWS_AS(copy_bytes_to_host(back.data(), host.data(), 8), Error);
}

TEST_CASE("simt: launches that no GPU accepts are refused") {
    for (const simt::Mode mode : test_modes()) {
        const simt::Use use({mode, simt::Order::forward, 1, nullptr});
        TestData data;
        const auto refused = [&](dim3 grid, dim3 block, std::size_t shared, const char* why) {
            CAPTURE(why);
            std::string text = "nothing";
            try {
                data.run(warp_sum, grid, block, shared);
            } catch (const Error& error) {
                text = error.what();
            }
            CAPTURE(text);
            CHECK(text.find("'warp_sum'") != std::string::npos);
            CHECK(text.find(why) != std::string::npos);
        };
        refused(1, 1025, 0, "1024 threads");
        refused(1, dim3(32, 33), 0, "1024 threads");
        refused(1, dim3(1, 1, 65), 0, "third dimension");
        refused(0, 32, 0, "nothing to run");
        refused(1, dim3(32, 0), 0, "nothing to run");
        refused(dim3(1, 65536), 32, 0, "blocks");
        refused(1, 32, kSharedLimit + 1, "65536");
        CHECK_THROWS_WITH_AS(data.run(too_much_static_shared, 1, 32, 0),
                             "launch of 'too_much_static_shared': static shared memory has at "
                             "most 49152 bytes, found 49156",
                             Error);
        data.run(warp_sum, 1, 32, kSharedLimit);  // as much as there is
    }
}

TEST_SUITE_END();
