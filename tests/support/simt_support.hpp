// simt_support.hpp - what the tests of the executor run kernels on.
#pragma once

#include <numeric>
#include <vector>

#include <kvlab/cuda/device_memory.hpp>
#include <kvlab/cuda/launch.hpp>
#include <kvlab/cuda/simt.hpp>

namespace kvlab::test {

using TestKernel = Kernel<const float*, float*, int*, int>;

inline std::vector<float> counting_up(Index n) {
    std::vector<float> values(usize(n));
    std::iota(values.begin(), values.end(), 0.0f);
    return values;
}

// `in` holds 0, 1, 2 ...; `out` nothing so far; `counts` zeros.
struct TestData {
    explicit TestData(Index n = 100)
        : in(counting_up(n), "in"), out(n, "out"), counts(std::vector<int>(64), "counts") {}

    void run(const TestKernel& kernel, dim3 grid, dim3 block, std::size_t dynamic_shared) {
        launch(kernel, grid, block, dynamic_shared, in.get(), out.get(), counts.get(),
               static_cast<int>(in.size()));
    }

    void run_cooperative(const TestKernel& kernel,
                         dim3 grid,
                         dim3 block,
                         std::size_t dynamic_shared) {
        launch_cooperative(kernel, grid, block, dynamic_shared, in.get(), out.get(),
                           counts.get(), static_cast<int>(in.size()));
    }

    DeviceArray<float> in, out;
    DeviceArray<int> counts;
};

// Raw, and checked where this build has it.
inline std::vector<simt::Mode> test_modes() {
    if (simt::has_checked_kernels()) return {simt::Mode::raw, simt::Mode::checked};
    return {simt::Mode::raw};
}

}  // namespace kvlab::test
