// step04_todo_simt_test.cpp - an open task in a kernel ends the launch, and nothing is left of
// it for the next one.
#include <doctest/doctest.h>

#include <kvlab/cuda/device_graph.hpp>
#include <kvlab/cuda/simt.hpp>

#include "simt_kernels/kernels.cuh"
#include "simt_support.hpp"

using namespace kvlab;
using namespace kvlab::test;

TEST_SUITE_BEGIN("step04");

namespace {

std::string message_of(const char* task) {
    return concat("task ", task, " is not solved yet; see the chapter's README.md");
}

// Each variant, in each order of threads and blocks.
template <class Run>
void in_every_way(const Run& run) {
    for (const simt::Mode mode : test_modes())
        for (const simt::Order order :
             {simt::Order::forward, simt::Order::reverse, simt::Order::shuffled}) {
            CAPTURE(static_cast<int>(mode));
            CAPTURE(static_cast<int>(order));
            simt::Options options;
            options.mode = mode;
            options.order = order;
            const simt::Use use(options);
            run();
        }
}

// A launch with barriers and one with shuffles, of as many threads, have the right numbers.
void check_that_launches_work() {
    TestData data(128);
    data.run(block_sum, 1, 128, 0);
    CHECK(data.out.to_host()[0] == 127.0f * 128.0f / 2.0f);
    data.run(warp_sum, 1, 32, 0);
    CHECK(data.out.to_host()[31] == 31.0f * 32.0f / 2.0f);
}

}  // namespace

TEST_CASE("todo_device: the launch throws what todo() throws") {
    in_every_way([] {
        TestData data;
        CHECK_THROWS_WITH_AS(data.run(hole_for_all, 3, 64, 0), message_of("4.1").c_str(),
                             NotImplemented);
        CHECK_THROWS_WITH_AS(data.run(hole_in_a_function, 1, 32, 0), message_of("4.3").c_str(),
                             NotImplemented);
        check_that_launches_work();
    });
}

TEST_CASE("todo_device: threads that wait for the one with the hole wait no longer") {
    in_every_way([] {
        TestData data;
        for (int again = 0; again < 2; ++again)
            CHECK_THROWS_WITH_AS(data.run(hole_of_one_thread, 2, 64, 0),
                                 message_of("4.2").c_str(), NotImplemented);
        CHECK_THROWS_WITH_AS(data.run_cooperative(hole_of_one_block, 3, 64, 0),
                             message_of("4.5").c_str(), NotImplemented);
        check_that_launches_work();
        TestData rounds;
        rounds.run_cooperative(rounds_of_a_grid, 3, 32, 0);
    });
}

TEST_CASE("todo_device: a hole comes before what its thread did wrong") {
    in_every_way([] {
        TestData data;
        CHECK_THROWS_WITH_AS(data.run(hole_where_nothing_is_written, 1, 64, 0),
                             message_of("4.4").c_str(), NotImplemented);
    });
    // A branch that nobody takes is no open task.
    TestData data;
    CHECK_NOTHROW(data.run(hole_of_one_thread, 1, 32, 0));
}

TEST_CASE("todo_device: a launch that ends so is not counted") {
    for (const simt::Mode mode : test_modes()) {
        simt::Counters counters;
        std::vector<simt::LaunchRecord> records;
        simt::Options options;
        options.mode = mode;
        options.counters = &counters;
        options.records = &records;
        const simt::Use use(options);
        TestData data;
        CHECK_THROWS_AS(data.run(hole_of_one_thread, 2, 64, 0), NotImplemented);
        CHECK(counters == simt::Counters{});
        CHECK(records.empty());
    }
}

TEST_CASE("todo_device: a recorded launch throws when it runs") {
    TestData data;
    DeviceGraph graph;
    graph.record([&] { data.run(hole_for_all, 1, 64, 0); });
    CHECK_THROWS_WITH_AS(graph.launch(), message_of("4.1").c_str(), NotImplemented);
    check_that_launches_work();
}

TEST_SUITE_END();
