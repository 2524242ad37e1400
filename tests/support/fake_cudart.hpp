// fake_cudart.hpp - CUDA's runtime without a GPU, to test gpu/cuda_runtime.cu: device memory is
// the host's, and what goes into a stream is done as late as it may be: when someone waits.
// Whoever forgets to wait reads, or sends, what is not there.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace kvlab::test {

struct FakeLaunch {
    std::string kernel;  // the name by which nvcc's object registers it
    unsigned grid[3], block[3];
    std::size_t dynamic_shared;  // bytes
    // The arguments as they were at the launch; the tests' kernels take these.
    const float* in;
    float* out;
    int* counts;
    int n;
};

struct FakeGpu {
    int devices = 1;
    int driver = 0;                 // version; 0: none. Set to the program's own by the test
    int capability = 90;            // times ten
    int processors = 2;             // of 2048 threads each
    bool kernels_fail = false;      // with an illegal address, and nothing works from then on
    std::size_t static_shared = 0;  // of every kernel
    std::function<void(const FakeLaunch&)> run;

    // What was asked of it.
    int launches = 0, waiting = 0, allocations = 0, events = 0, questions = 0;
    int cooperative = 0, graphs = 0;
    std::size_t asked_for = 0;  // dynamic shared memory beyond what need not be asked for
};

FakeGpu& fake_gpu();

using FakeGraph = std::vector<std::function<void()>>;

// What the stream is given while it is captured; otherwise null.
FakeGraph*& fake_capture();

// The version of the runtime that the program is built with.
int fake_runtime_version();

}  // namespace kvlab::test
