// device_facts.cpp - asks CUDA's runtime; in a build without nvcc there is nobody to ask.
#include "device_facts.hpp"

#include <algorithm>

#include <kvlab/cuda/device.hpp>

#if KVLAB_HAS_GPU
#include <cuda_runtime_api.h>
#endif

namespace kvlab::bench {

#if KVLAB_HAS_GPU

namespace {

void check_cuda(cudaError_t code, const char* what) {
    check(code == cudaSuccess, what, ": GPU: ", cudaGetErrorString(code));
}

int attribute(cudaDeviceAttr which) {
    int value = 0;
    check_cuda(cudaDeviceGetAttribute(&value, which, 0), "device 0");
    return value;
}

}  // namespace

DeviceFacts device_facts() {
    DeviceFacts facts;
    if (selected_device() != Device::gpu) return facts;
    std::size_t free = 0, total = 0;
    check_cuda(cudaMemGetInfo(&free, &total), "memory");
    check_cuda(cudaDriverGetVersion(&facts.driver_cuda), "driver");
    check_cuda(cudaRuntimeGetVersion(&facts.runtime_cuda), "runtime");
    facts.capability = attribute(cudaDevAttrComputeCapabilityMajor) * 10 +
                       attribute(cudaDevAttrComputeCapabilityMinor);
    facts.multiprocessors = attribute(cudaDevAttrMultiProcessorCount);
    facts.clock_mhz = attribute(cudaDevAttrClockRate) / 1e3;
    facts.memory_clock_mhz = attribute(cudaDevAttrMemoryClockRate) / 1e3;
    facts.bus_bits = attribute(cudaDevAttrGlobalMemoryBusWidth);
    facts.second_level_bytes = attribute(cudaDevAttrL2CacheSize);
    facts.memory_bytes = static_cast<Index>(total);
    return facts;
}

double copied_gb_per_s() {
    if (selected_device() != Device::gpu) return 0;
    constexpr std::size_t kBytes = std::size_t{1} << 29;
    void *from = nullptr, *to = nullptr;
    cudaEvent_t begin = nullptr, end = nullptr;
    check_cuda(cudaMalloc(&from, kBytes), "copy");
    check_cuda(cudaMalloc(&to, kBytes), "copy");
    check_cuda(cudaMemset(from, 1, kBytes), "copy");
    check_cuda(cudaEventCreate(&begin), "copy");
    check_cuda(cudaEventCreate(&end), "copy");
    float best = 0;
    for (int round = 0; round < 5; ++round) {  // the first one may find a slow clock
        float milliseconds = 0;
        check_cuda(cudaEventRecord(begin), "copy");
        check_cuda(cudaMemcpyAsync(to, from, kBytes, cudaMemcpyDeviceToDevice), "copy");
        check_cuda(cudaEventRecord(end), "copy");
        check_cuda(cudaEventSynchronize(end), "copy");
        check_cuda(cudaEventElapsedTime(&milliseconds, begin, end), "copy");
        best = round == 0 ? milliseconds : std::min(best, milliseconds);
    }
    cudaEventDestroy(begin);
    cudaEventDestroy(end);
    cudaFree(from);
    cudaFree(to);
    return 2.0 * static_cast<double>(kBytes) / (static_cast<double>(best) / 1e3) / 1e9;
}

#else

DeviceFacts device_facts() {
    return {};
}

double copied_gb_per_s() {
    return 0;
}

#endif

}  // namespace kvlab::bench
