// step04_device_test.cpp - where kernels run is chosen when the program runs; and host code
// that touches device memory is found, without a GPU.
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <memory>

#include <kvlab/attention/generate.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/cuda/cuda_cache.hpp>
#include <kvlab/cuda/cuda_engine.hpp>
#include <kvlab/cuda/device.hpp>
#include <kvlab/cuda/device_graph.hpp>

#include "golden.hpp"
#include "models.hpp"
#include "simt_kernels/kernels.cuh"
#include "simt_support.hpp"
#include "skip.hpp"

using namespace kvlab;
using namespace kvlab::test;

// What may stand in a kernel's parameters: whatever has one name on both sides of nvcc.
static_assert(IsKernelParameter<float>::value);
static_assert(IsKernelParameter<const float*>::value);
static_assert(IsKernelParameter<const unsigned char* const*>::value);
static_assert(!IsKernelParameter<float4>::value);
static_assert(!IsKernelParameter<const float4*>::value);
static_assert(!IsKernelParameter<dim3>::value);
static_assert(!IsKernelParameter<float&>::value);

namespace {

struct PlainArgs {
    const float* x;
    int n;
};

struct VectorArgs {
    float4 four;
};

struct TextArgs {
    std::string text;
};

}  // namespace

static_assert(IsKernelParameter<PlainArgs>::value);
static_assert(!IsKernelParameter<VectorArgs>::value);
static_assert(!IsKernelParameter<TextArgs>::value);
static_assert(IsKernelParameter<const PlainArgs*>::value);
static_assert(!IsKernelParameter<VectorArgs*>::value);

TEST_SUITE_BEGIN("step04");

namespace {

// The signal that ended `body` in a process of its own, or minus its exit code.
int end_of(const std::function<void()>& body) {
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        std::signal(SIGSEGV, SIG_DFL);  // an address sanitizer has a handler of its own
        close(STDERR_FILENO);
        try {
            body();
        } catch (...) {
            _exit(3);
        }
        _exit(0);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
}

float read_on_host(const float* address) {
    return *static_cast<const volatile float*>(address);
}

}  // namespace

TEST_CASE("simt device: the executor is selected unless told otherwise") {
    CHECK(selected_device() == Device::executor);
    CHECK(device_name() == "SIMT executor");
    CHECK((block_sum.gpu != nullptr) == gpu_built());
    device_synchronize();
    select_device(Device::executor);
}

TEST_CASE("simt device: without a GPU it is said why and selecting it throws") {
    std::string why_not = "untouched";
    const bool available = gpu_available(&why_not);
    CHECK(why_not.empty() == available);
    CHECK(why_not != "untouched");
    CHECK(gpu_available() == available);
    if (available) return skip("there is a GPU");
    try {
        select_device(Device::gpu);
        FAIL_CHECK("it was selected");
    } catch (const Error& error) {
        CHECK(std::string(error.what()) == "no GPU: " + why_not);
    }
    CHECK(selected_device() == Device::executor);
}

TEST_CASE("simt device: it does not change while device memory is allocated") {
    {
        const DeviceArray<float> one(1);
        CHECK_THROWS_WITH_AS(select_device(Device::executor),
                             "select_device: 1 allocations of device memory are in use", Error);
        const DeviceArray<float> two(1);
        CHECK_THROWS_AS(select_device(Device::gpu), Error);
    }
    CHECK_THROWS_AS(DeviceArray<float>(-1), Error);  // leaves nothing behind
    select_device(Device::executor);
}

TEST_CASE("simt device: every launch is counted and a refused one is not") {
    TestData data(128);
    const Index before = launch_count();
    for (const simt::Mode mode : test_modes()) {
        const simt::Use use({mode, simt::Order::forward, 1, nullptr});
        data.run(block_sum, 1, 128, 0);
    }
    CHECK(launch_count() == before + std::ssize(test_modes()));
    CHECK_THROWS_AS(data.run(block_sum, 1, 1025, 0), Error);
    CHECK(launch_count() == before + std::ssize(test_modes()));
    CHECK(device_facts().multiprocessors == 0);
    CHECK(device_facts().peak_gb_per_s() == 0);
}

TEST_CASE("simt device: a stopwatch never goes backwards") {
    DeviceStopwatch clock;
    const double first = clock.seconds(), second = clock.seconds();
    CHECK(first >= 0);
    CHECK(second >= first);
}

TEST_CASE("simt device: a GPU gives the executor's bits") {
    if (!gpu_available()) return skip("there is no GPU");
    const auto sums = [] {
        TestData data(128);
        DeviceStopwatch clock;
        data.run(block_sum, 1, 128, 0);
        data.run(fma_with_ragged_tail, 1, 128, 0);
        device_synchronize();
        CHECK(clock.seconds() > 0);
        std::vector<float> all = data.out.to_host();
        // Copies in flight, blocks that meet, and both from a graph, twice.
        TestData copied(5 * 128), met(4 * 32);
        DeviceGraph graph;
        graph.record([&] {
            copied.run(double_buffer, 1, 32, 0);
            met.run_cooperative(rounds_of_a_grid, 4, 32, 0);
        });
        graph.launch();
        graph.launch();
        const std::vector<float> more = met.out.to_host(), row = copied.out.to_host();
        all.insert(all.end(), more.begin(), more.end());
        all.insert(all.end(), row.begin(), row.begin() + 32);
        return all;
    };
    const std::vector<float> expected = sums();
    select_device(Device::gpu);
    const std::vector<float> found = sums();
    {
        TestData data;
        CHECK_THROWS_AS(data.run(warp_sum, 1, 1025, 0), Error);
        CHECK_THROWS_AS(data.run(warp_sum, 1, 32, kSharedLimit + 1), Error);
        data.run(warp_sum, 1, 32, kSharedLimit);
        device_synchronize();
    }
    select_device(Device::executor);
    CHECK(found == expected);
}

TEST_CASE("simt: copies between two places of the device are refused") {
    const DeviceArray<float> a(counting_up(8)), b(counting_up(8));
    CHECK_THROWS_AS(copy_bytes_to_device(a.get(), b.get(), 32), Error);
    CHECK_THROWS_AS(copy_bytes_to_host(a.get(), b.get(), 32), Error);
    CHECK(a.to_host() == counting_up(8));
}

TEST_CASE("simt guard: host code that touches device memory dies") {
    const auto guarded = [](const std::function<void(TestData&)>& touch) {
        return end_of([&touch] {
            const simt::GuardDeviceMemory guard;
            TestData data;
            touch(data);
        });
    };
    CHECK(guarded([](TestData& data) { read_on_host(data.in.get()); }) == SIGSEGV);
    CHECK(guarded([](TestData& data) { read_on_host(data.in.get() + 99); }) == SIGSEGV);
    CHECK(guarded([](TestData& data) { data.counts.get()[1] = 1; }) == SIGSEGV);
    // A launch and a copy close what they opened, also when they fail.
    CHECK(guarded([](TestData& data) {
              data.run(fma_with_ragged_tail, 4, 32, 0);
              data.out.to_host();
              read_on_host(data.out.get());
          }) == SIGSEGV);
    CHECK(guarded([](TestData& data) {
              try {
                  data.run(barrier_in_one_branch, 1, 32, 0);
              } catch (const simt::Fault&) {
                  read_on_host(data.out.get());
              }
          }) == SIGSEGV);
    CHECK(guarded([](TestData&) {
              const float* gone = nullptr;
              {
                  const DeviceArray<float> freed(64);
                  gone = freed.get();
              }
              read_on_host(gone);
          }) == SIGSEGV);
}

TEST_CASE("simt guard: launches and copies go on") {
    CHECK(end_of([] {
              const simt::GuardDeviceMemory guard;
              for (const simt::Mode mode : test_modes()) {
                  const simt::Use use({mode, simt::Order::shuffled, 1, nullptr});
                  TestData data(128);
                  data.run(block_sum, 1, 128, 0);
                  if (data.out.to_host()[0] != 127.0f * 64.0f) _exit(4);
                  // Vectors are longer than a page, in memory that was just given back.
                  const DeviceArray<float> large(counting_up(100000));
                  if (large.to_host() != counting_up(100000)) _exit(5);
              }
          }) == 0);
}

// Whatever the decoder does between its launches, it does without looking.
TEST_CASE("simt guard: a generation and its checksum need no look into device memory") {
    const auto source = make_synthetic(tiny_config(), 42);
    const simt::GuardDeviceMemory guard;
    const KernelChoice choice;
    const std::unique_ptr<Engine> engine = make_cuda_engine(choice);
    Decoder decoder(load_model(*source, *engine), *engine);
    CudaCache cache(decoder.kv_shape(), 128, choice.attention);
    Generator generator(decoder);
    generator.add(cache, random_tokens(70, decoder.config().vocab, 11), 24,
                  {0.8f, 50, 0.9f, 7});
    generator.run();
    check_golden("tiny-shape-sampled", generator.checksum().hex());
}

TEST_CASE("simt guard: it ends with its scope and comes before all memory") {
    CHECK(end_of([] {
              const float* outlives = nullptr;
              auto data = std::unique_ptr<TestData>();
              {
                  const simt::GuardDeviceMemory guard;
                  data = std::make_unique<TestData>();
                  outlives = data->in.get();
              }
              if (read_on_host(outlives + 7) != 7.0f) _exit(4);
              data->run(fma_with_ragged_tail, 4, 32, 0);
              data.reset();
              const simt::GuardDeviceMemory again;
              const TestData more;
              if (more.in.to_host() != counting_up(100)) _exit(5);
          }) == 0);
    {
        const DeviceArray<float> early(1);
        CHECK_THROWS_WITH_AS(simt::GuardDeviceMemory(),
                             "device memory has been allocated already: guard it before",
                             Error);
    }
    CHECK(end_of([] {
              const simt::GuardDeviceMemory guard;
              const simt::GuardDeviceMemory second;
          }) == -3);
}

TEST_SUITE_END();
