// step04_graph_test.cpp - graphs: launches that are recorded and started again.
#include <doctest/doctest.h>

#include <optional>

#include <kvlab/cuda/device_graph.hpp>
#include <kvlab/cuda/simt.hpp>

#include "device_support.hpp"
#include "simt_kernels/kernels.cuh"
#include "simt_support.hpp"
#include "skip.hpp"

using namespace kvlab;
using namespace kvlab::test;

TEST_SUITE_BEGIN("step04");

namespace {

template <class Body>
std::string refused(DeviceGraph& graph, Body&& body) {
    try {
        graph.record(body);
    } catch (const Error& error) {
        return error.what();
    }
    return "nothing";
}

}  // namespace

TEST_CASE("simt graph: recorded launches run when it is launched, in order") {
    in_all_modes([] {
        TestData data(128);
        DeviceGraph graph;
        graph.record([&] {
            data.run(block_sum, 1, 128, 0);  // out[0]: the sum of in
            data.run_cooperative(rounds_of_a_grid, 4, 32, 0);
            data.run(block_sum, 1, 128, 0);
        });
        CHECK(graph.size() == 3);
        CHECK(data.out.to_host()[0] != data.out.to_host()[0]);  // a NaN: nothing has run
        graph.launch();
        CHECK(data.out.to_host()[0] == 127.0f * 64.0f);
        const std::vector<float> once = data.out.to_host();
        // The pointers are those of the recording, the values those of the moment.
        data.in.copy_from(std::vector<float>(128, 2.0f));
        graph.launch();
        CHECK(data.out.to_host()[0] == 256.0f);
        data.in.copy_from(counting_up(128));
        graph.launch();
        CHECK(data.out.to_host() == once);
        graph.record(
            [&] { data.run(grid_of_three_dimensions, dim3(2, 1, 2), dim3(2, 4, 2), 0); });
        CHECK(graph.size() == 1);
        graph.launch();
        CHECK(data.out.to_host()[16 * 3 + 5] == 305.0f);
    });
}

TEST_CASE("simt graph: the checks are those of the moment") {
    if (!simt::has_checked_kernels()) return skip("the thread sanitizer's hooks are taken");
    TestData data;
    DeviceGraph graph;
    graph.record([&] { data.run(no_barrier_before_read, 1, 32, 0); });
    graph.launch();
    simt::Counters counters;
    std::vector<simt::LaunchRecord> records;
    const simt::Use use({simt::Mode::checked, simt::Order::forward, 1, &counters, &records});
    CHECK_THROWS_AS(graph.launch(), simt::Fault);
    graph.record([&] { data.run(warp_sum, 1, 32, 0); });
    CHECK(records.empty());
    graph.launch();
    graph.launch();
    CHECK(records.size() == 2);
}

TEST_CASE("simt graph: what a recording must not do is refused") {
    TestData data(128);
    DeviceGraph graph, other;
    CHECK_THROWS_WITH_AS(graph.launch(), "launch of a graph: nothing has been recorded", Error);
    graph.record([] {});
    CHECK(graph.size() == 0);
    CHECK_THROWS_AS(graph.launch(), Error);
    other.record([&] { data.run(block_sum, 1, 128, 0); });
    std::optional<DeviceStopwatch> clock(std::in_place);
    std::optional<DeviceArray<float>> array(std::in_place, 4);
    const auto said = [&](auto&& body) {
        const std::string text = refused(graph, [&] {
            data.run(block_sum, 1, 128, 0);
            body();
        });
        CHECK(graph.size() == 0);  // nothing is left of it
        return text;
    };
    const unsigned too_many = cooperative_blocks(block_sum, 128, 0) + 1;
    const std::string why = ": not while a graph is being recorded";
    CHECK(said([&] { data.in.copy_from(counting_up(128)); }) == "copy to device" + why);
    CHECK(said([&] { data.out.to_host(); }) == "copy to host" + why);
    CHECK(said([] { device_synchronize(); }) == "device_synchronize" + why);
    CHECK(said([] { DeviceArray<float>(1, "new"); }) == "device memory 'new'" + why);
    CHECK(said([&] { array.reset(); }) == "device_free" + why);
    CHECK(said([&] { other.launch(); }) == "launch of a graph" + why);
    CHECK(said([&] { other.record([] {}); }) == "record" + why);
    CHECK(said([&] { clock->restart(); }) == "stopwatch" + why);
    CHECK(said([&] { clock->seconds(); }) == "stopwatch" + why);
    CHECK(said([] { select_device(Device::executor); }) == "select_device" + why);
    CHECK(said([&] { data.run(block_sum, 1, 1025, 0); }).find("1024 threads") < 200);
    CHECK(said([&] { data.run_cooperative(block_sum, too_many, 128, 0); }).find("fit on") <
          200);
    // Whoever was not recording is as before.
    CHECK(other.size() == 1);
    other.launch();
    CHECK(data.out.to_host()[0] == 127.0f * 64.0f);
    graph.record([&] { data.run(block_sum, 1, 128, 0); });
    graph.launch();
    CHECK(clock->seconds() >= 0);
}

TEST_SUITE_END();
