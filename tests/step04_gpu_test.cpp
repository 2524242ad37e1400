// step04_gpu_test.cpp - the GPU's side of the program, on a fake of CUDA's runtime: nvcc's
// kernels are found by our names, arguments arrive, the host waits where it must, and errors
// come up. What the kernels compute there is shown by a real GPU alone (step04_device_test).
#include <doctest/doctest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <memory>

#include <kvlab/cuda/device.hpp>
#include <kvlab/cuda/device_graph.hpp>

#include "fake_cudart.hpp"
#include "simt_kernels/kernels.cuh"
#include "simt_support.hpp"

using namespace kvlab;
using namespace kvlab::test;

TEST_SUITE_BEGIN("step04");

namespace {

// What the fake does for a kernel: the raw one, on the executor, in memory that is the host's.
void run_raw(const FakeLaunch& launch) {
    for (const TestKernel& kernel :
         {block_sum, fma_with_ragged_tail, grid_of_three_dimensions}) {
        const std::string name(kernel.name);
        if (launch.kernel != concat("_ZN5kvlab3gpu", name.size(), name, "EPKfPfPii")) continue;
        const auto function = kernel.raw;
        const FakeLaunch& a = launch;
        simt::run({kernel.name, dim3(a.grid[0], a.grid[1], a.grid[2]),
                   dim3(a.block[0], a.block[1], a.block[2]), 0, a.dynamic_shared},
                  reinterpret_cast<const void*>(function),
                  [&a, function] { function(a.in, a.out, a.counts, a.n); });
        return;
    }
    FAIL("no kernel is called " << launch.kernel);
}

// A fake GPU, selected until it goes out of scope.
struct OnFake {
    OnFake() {
        fake_gpu() = {};
        fake_gpu().driver = fake_runtime_version();
        fake_gpu().run = run_raw;
        select_device(Device::gpu);
    }

    ~OnFake() { select_device(Device::executor); }
};

}  // namespace

TEST_CASE("gpu: says why it cannot be used") {
    const auto why_not = [](int driver, int devices, int capability) {
        fake_gpu() = {};
        fake_gpu().driver = driver;
        fake_gpu().devices = devices;
        fake_gpu().capability = capability;
        std::string why;
        const bool available = gpu_available(&why);
        CHECK(available == why.empty());
        return why;
    };
    const int own = fake_runtime_version();
    CHECK(why_not(0, 1, 90) == "no driver");
    CHECK(why_not(11040, 1, 90).find("the driver knows CUDA 11.4, this program needs ") == 0);
    CHECK(why_not(own, 0, 90) == "no device");
    CHECK(why_not(own, 1, 70) == "compute capability 7.0, at least 7.5 is needed");
    CHECK(why_not(own, 1, 75).empty());
    CHECK(why_not(own + 1000, 1, 120).empty());
    CHECK(gpu_built());
}

TEST_CASE("gpu: kernels get their arguments and results come back") {
    const OnFake on_fake;
    CHECK(device_name() == "a fake");
    {
        TestData data(128);
        data.run(block_sum, 1, 128, 0);
        CHECK(fake_gpu().launches == 0);  // nobody has waited for it
        CHECK(data.out.to_host()[0] == 127.0f * 64.0f);
        CHECK(fake_gpu().launches == 1);
        data.run(grid_of_three_dimensions, dim3(2, 1, 2), dim3(2, 4, 2), 0);
        CHECK(data.out.to_host()[16 * 3 + 5] == 305.0f);
        // The host's values are taken before the copy returns.
        std::vector<float> values = counting_up(128);
        data.in.copy_from(values);
        values.assign(128, -1.0f);
        CHECK(data.in.to_host() == counting_up(128));
        const DeviceArray<float> fresh(3);
        CHECK(fresh.to_host()[2] != fresh.to_host()[2]);  // NaN
        device_synchronize();
        CHECK(fake_gpu().waiting == 0);
        CHECK_THROWS_AS(device_free(&values), Error);
        CHECK_THROWS_AS(copy_bytes_to_device(data.in.get() + 127, values.data(), 8), Error);
        CHECK_THROWS_AS(select_device(Device::executor), Error);
    }
    CHECK(fake_gpu().allocations == 0);
    CHECK(fake_gpu().questions == 2);  // of each kernel once
}

TEST_CASE("gpu: what the driver says of it is told in our units") {
    const OnFake on_fake;
    const DeviceFacts facts = device_facts();
    CHECK(facts.capability == 90);
    CHECK(facts.multiprocessors == fake_gpu().processors);
    CHECK(device_multiprocessors() == fake_gpu().processors);
    CHECK(facts.clock_mhz == 1980.0);
    CHECK(facts.memory_clock_mhz == 2619.0);
    CHECK(facts.bus_bits == 5120);
    CHECK(facts.second_level_bytes == Index{50} << 20);
    CHECK(facts.memory_bytes == Index{80} << 30);
    CHECK(facts.driver_cuda == fake_runtime_version());
    CHECK(facts.runtime_cuda == fake_runtime_version());
    // 640 bytes of the bus, twice a clock of 2.619 GHz.
    CHECK(facts.peak_gb_per_s() == doctest::Approx(3352.32));
}

TEST_CASE("gpu: launches are counted when they are made and not when they are refused") {
    const OnFake on_fake;
    TestData data(128);
    const Index before = launch_count();
    data.run(block_sum, 1, 128, 0);
    data.run(block_sum, 1, 128, 0);
    CHECK(launch_count() == before + 2);  // though nobody has waited for them
    CHECK_THROWS_AS(data.run(block_sum, 1, 1025, 0), Error);
    CHECK(launch_count() == before + 2);
    device_synchronize();
}

TEST_CASE("gpu: launches that no GPU accepts are refused") {
    const OnFake on_fake;
    const std::size_t own = 512;  // bytes of static shared memory, as CUDA says; asked once
    fake_gpu().static_shared = own;
    TestData data(128);
    CHECK_THROWS_AS(data.run(fma_with_ragged_tail, 1, 1025, 0), Error);
    CHECK_THROWS_AS(data.run(fma_with_ragged_tail, 0, 32, 0), Error);
    CHECK_THROWS_AS(data.run(fma_with_ragged_tail, 1, 32, kSharedLimit - own + 1), Error);
    data.run(fma_with_ragged_tail, 1, 128, kStaticSharedLimit - own);
    CHECK(fake_gpu().asked_for == 0);
    data.run(fma_with_ragged_tail, 1, 128, kSharedLimit - own);
    CHECK(fake_gpu().asked_for == kSharedLimit - own);
    device_synchronize();
    CHECK(fake_gpu().launches == 2);
}

TEST_CASE("gpu: a stopwatch counts what is launched behind its start") {
    const OnFake on_fake;
    {
        TestData data(128);
        data.run(block_sum, 1, 128, 0);
        DeviceStopwatch clock;
        data.run(block_sum, 1, 128, 0);
        data.run(block_sum, 1, 128, 0);
        CHECK(clock.seconds() == doctest::Approx(0.002));  // two launches of the fake's time
        clock.restart();
        CHECK(clock.seconds() == 0.0);
    }
    CHECK(fake_gpu().events == 0);
}

TEST_CASE("gpu: a cooperative launch fits on the device or is refused") {
    const OnFake on_fake;
    TestData data(128);
    CHECK(cooperative_blocks(block_sum, 128, 0) == 2 * 16);
    CHECK(cooperative_blocks(block_sum, 1024, 0) == 2 * 2);
    CHECK_THROWS_AS(cooperative_blocks(block_sum, 1025, 0), Error);
    CHECK_THROWS_WITH_AS(
        data.run_cooperative(block_sum, dim3(11, 3), 128, 0),
        "cooperative launch of 'block_sum': 33 blocks, of which at most 32 fit "
        "on the device together",
        Error);
    CHECK(fake_gpu().cooperative == 0);
    data.run_cooperative(block_sum, 1, 128, 0);
    CHECK(fake_gpu().cooperative == 1);
    CHECK(data.out.to_host()[0] == 127.0f * 64.0f);
}

TEST_CASE("gpu: a graph runs what was recorded and refuses what waits") {
    const OnFake on_fake;
    {
        TestData data(128);
        DeviceGraph graph;
        CHECK_THROWS_AS(graph.launch(), Error);
        graph.record([&] {
            data.run(block_sum, 1, 128, 0);
            data.run_cooperative(grid_of_three_dimensions, dim3(2, 1, 2), dim3(2, 4, 2), 0);
        });
        CHECK(graph.size() == 2);
        device_synchronize();
        CHECK(fake_gpu().launches == 0);
        graph.launch();
        graph.launch();
        CHECK(fake_gpu().launches == 0);  // nobody has waited for it
        CHECK(data.out.to_host()[16 * 3 + 5] == 305.0f);
        CHECK(fake_gpu().launches == 4);
        CHECK(fake_gpu().graphs == 1);
        const auto refused = [&](auto&& body) {
            CHECK_THROWS_AS(graph.record([&] {
                data.run(block_sum, 1, 128, 0);
                body();
            }),
                            Error);
            CHECK(fake_gpu().graphs == 0);
            CHECK(graph.size() == 0);
        };
        refused([&] { data.out.to_host(); });
        refused([&] { data.in.copy_from(counting_up(128)); });
        refused([] { device_synchronize(); });
        refused([] { DeviceArray<float>(1); });
        refused([&] { graph.record([] {}); });
        refused([&] { graph.launch(); });
        refused([] { DeviceStopwatch(); });
        auto array = std::make_unique<DeviceArray<float>>(1);
        refused([&] { array.reset(); });
        graph.record([] {});
        CHECK_THROWS_AS(graph.launch(), Error);
        graph.record([&] { data.run(block_sum, 1, 128, 0); });
        graph.launch();
        CHECK(data.out.to_host()[0] == 127.0f * 64.0f);
    }
    CHECK(fake_gpu().graphs == 0);
    CHECK(fake_gpu().allocations == 0);
}

// What a kernel has done wrong stays, so each of these has a process of its own.
TEST_CASE("gpu: what a kernel does wrong comes up where the host waits") {
    const auto error_of = [](void (*wait)(TestData&)) {
        const pid_t child = fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            const OnFake on_fake;
            int code = 1;
            try {
                TestData data;  // is freed while the error is on its way
                fake_gpu().kernels_fail = true;
                data.run(block_sum, 1, 128, 0);  // says nothing so far
                code = 2;
                wait(data);
            } catch (const Error& error) {
                const bool said = std::string(error.what()).find("illegal address") < 200;
                code = said ? code + 10 : 3;
            }
            _exit(code);
        }
        int status = 0;
        REQUIRE(waitpid(child, &status, 0) == child);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    };
    CHECK(error_of([](TestData&) { device_synchronize(); }) == 12);
    CHECK(error_of([](TestData& data) { data.out.to_host(); }) == 12);
    CHECK(error_of([](TestData& data) { data.in.copy_from(counting_up(100)); }) == 12);
    CHECK(error_of([](TestData& data) {
              { const DeviceArray<float> waits_when_freed(1); }
              data.run(block_sum, 1, 128, 0);
          }) == 12);
    CHECK(error_of([](TestData&) { DeviceStopwatch().seconds(); }) == 12);
    CHECK(error_of([](TestData&) {}) == 2);  // nobody waits: a free alone throws nothing
}

TEST_SUITE_END();
