// on_gpu.hpp - chapter 4: the GPU, if there is one, for a while.
#pragma once

#include <string>

#include <kvlab/cuda/device.hpp>

namespace kvlab::app {

// Selects the GPU until it goes out of scope.
struct OnGpu {
    OnGpu() { select_device(Device::gpu); }

    ~OnGpu() { select_device(Device::executor); }
};

// "not built (no nvcc)" or "not run (no driver)"; empty if there is a GPU to run on.
inline std::string why_no_gpu() {
    if (!gpu_built()) return "not built (no nvcc)";
    std::string why_not;
    return gpu_available(&why_not) ? "" : "not run (" + why_not + ")";
}

}  // namespace kvlab::app
