// fake_cudart.cpp - what gpu/cuda_runtime.cu and nvcc's objects call, and no more.
#include "fake_cudart.hpp"

#include <cuda_runtime_api.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <vector>

using kvlab::test::fake_capture;
using kvlab::test::fake_gpu;
using kvlab::test::FakeLaunch;

namespace {

// Kernels by the address of their stub. Filled before main() by nvcc's objects.
std::map<const void*, std::string>& registered() {
    static std::map<const void*, std::string> names;
    return names;
}

std::vector<std::function<void()>>& queue() {
    static std::vector<std::function<void()>> work;
    return work;
}

cudaError_t& sticky() {
    static cudaError_t error = cudaSuccess;
    return error;
}

std::map<void*, std::size_t>& memory() {
    static std::map<void*, std::size_t> blocks;
    return blocks;
}

char the_stream = 0;

cudaError_t enqueue(cudaStream_t stream, std::function<void()> work) {
    if (reinterpret_cast<char*>(stream) != &the_stream) return cudaErrorInvalidResourceHandle;
    if (sticky() != cudaSuccess) return sticky();
    if (fake_capture() != nullptr) {
        fake_capture()->push_back(std::move(work));
        return cudaSuccess;
    }
    queue().push_back(std::move(work));
    ++fake_gpu().waiting;
    return cudaSuccess;
}

cudaError_t drain() {
    if (fake_capture() != nullptr) return cudaErrorStreamCaptureUnsupported;
    for (const auto& work : queue())
        if (sticky() == cudaSuccess) work();
    queue().clear();
    fake_gpu().waiting = 0;
    return sticky();
}

bool inside(const void* pointer, std::size_t bytes) {
    auto above = memory().upper_bound(const_cast<void*>(pointer));
    if (above == memory().begin()) return false;
    const auto& [begin, size] = *std::prev(above);
    return static_cast<const char*>(pointer) + bytes <= static_cast<char*>(begin) + size;
}

}  // namespace

namespace kvlab::test {

FakeGpu& fake_gpu() {
    static FakeGpu gpu;
    return gpu;
}

FakeGraph*& fake_capture() {
    static FakeGraph* graph = nullptr;
    return graph;
}

int fake_runtime_version() {
    return CUDART_VERSION;
}

}  // namespace kvlab::test

extern "C" {

void** __cudaRegisterFatBinary(void*) {
    static void* handle = nullptr;
    return &handle;
}

void __cudaRegisterFatBinaryEnd(void**) {}

void __cudaUnregisterFatBinary(void**) {}

void __cudaRegisterFunction(void**,
                            const char* stub,
                            char*,
                            const char* name,
                            int,
                            uint3*,
                            uint3*,
                            dim3*,
                            dim3*,
                            int*) {
    registered()[stub] = name;
}

// Of <<< >>>, which nobody writes here.
unsigned __cudaPushCallConfiguration(dim3, dim3, std::size_t, cudaStream_t) {
    std::abort();
}

cudaError_t __cudaPopCallConfiguration(dim3*, dim3*, std::size_t*, void*) {
    std::abort();
}

cudaError_t __cudaGetKernel(cudaKernel_t*, const void*) {
    std::abort();
}

cudaError_t __cudaLaunchKernel(cudaKernel_t, dim3, dim3, void**, std::size_t, cudaStream_t) {
    std::abort();
}

cudaError_t cudaDriverGetVersion(int* version) {
    *version = fake_gpu().driver;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
    *count = fake_gpu().devices;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
    switch (attribute) {
        case cudaDevAttrComputeCapabilityMajor:
            *value = fake_gpu().capability / 10;
            break;
        case cudaDevAttrComputeCapabilityMinor:
            *value = fake_gpu().capability % 10;
            break;
        case cudaDevAttrClockRate:  // kHz, as all clocks
            *value = 1980000;
            break;
        case cudaDevAttrMemoryClockRate:
            *value = 2619000;
            break;
        case cudaDevAttrGlobalMemoryBusWidth:
            *value = 5120;
            break;
        case cudaDevAttrMultiProcessorCount:
            *value = fake_gpu().processors;
            break;
        case cudaDevAttrL2CacheSize:
            *value = 50 << 20;
            break;
        default:
            return cudaErrorInvalidValue;
    }
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
    *free = 1 << 20;
    *total = std::size_t{80} << 30;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
    *properties = {};
    std::strcpy(properties->name, "a fake");
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int) {
    return cudaSuccess;
}

const char* cudaGetErrorName(cudaError_t) {
    return "cudaErrorOfTheFake";
}

const char* cudaGetErrorString(cudaError_t code) {
    return code == cudaErrorIllegalAddress ? "illegal address" : "another error";
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
    *stream = reinterpret_cast<cudaStream_t>(&the_stream);
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    if (reinterpret_cast<char*>(stream) != &the_stream) return cudaErrorInvalidResourceHandle;
    return drain();
}

cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
    if (sticky() != cudaSuccess) return sticky();
    *pointer = std::malloc(bytes);
    memory()[*pointer] = bytes;
    ++fake_gpu().allocations;
    return cudaSuccess;
}

// Waits for the device, as the real one does.
cudaError_t cudaFree(void* pointer) {
    const cudaError_t code = drain();
    if (memory().erase(pointer) == 0) return cudaErrorInvalidValue;
    std::free(pointer);
    --fake_gpu().allocations;
    return code;
}

cudaError_t cudaMemsetAsync(void* pointer, int value, std::size_t bytes, cudaStream_t stream) {
    if (!inside(pointer, bytes)) return cudaErrorInvalidValue;
    return enqueue(stream, [=] { std::memset(pointer, value, bytes); });
}

cudaError_t cudaMemcpyAsync(
    void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
    if (!inside(kind == cudaMemcpyHostToDevice ? to : from, bytes))
        return cudaErrorInvalidValue;
    return enqueue(stream, [=] { std::memcpy(to, from, bytes); });
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* function) {
    if (registered().count(function) == 0) return cudaErrorInvalidDeviceFunction;
    *attributes = {};
    attributes->sharedSizeBytes = fake_gpu().static_shared;
    ++fake_gpu().questions;
    return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute attribute, int value) {
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaErrorInvalidValue;
    fake_gpu().asked_for = static_cast<std::size_t>(value);
    return cudaSuccess;
}

cudaError_t cudaLaunchKernel(const void* function,
                             dim3 grid,
                             dim3 block,
                             void** arguments,
                             std::size_t shared,
                             cudaStream_t stream) {
    if (shared > (std::size_t{48} << 10) && shared > fake_gpu().asked_for)
        return cudaErrorInvalidValue;
    FakeLaunch launch{registered()[function],
                      {grid.x, grid.y, grid.z},
                      {block.x, block.y, block.z},
                      shared,
                      *static_cast<const float**>(arguments[0]),
                      *static_cast<float**>(arguments[1]),
                      *static_cast<int**>(arguments[2]),
                      *static_cast<int*>(arguments[3])};
    return enqueue(stream, [launch] {
        ++fake_gpu().launches;
        if (fake_gpu().kernels_fail)
            sticky() = cudaErrorIllegalAddress;
        else
            fake_gpu().run(launch);
    });
}

// A real one runs the blocks of such a launch at the same time; the test's kernels need not.
cudaError_t cudaLaunchCooperativeKernel(const void* function,
                                        dim3 grid,
                                        dim3 block,
                                        void** arguments,
                                        std::size_t shared,
                                        cudaStream_t stream) {
    ++fake_gpu().cooperative;
    return cudaLaunchKernel(function, grid, block, arguments, shared, stream);
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks,
                                                          const void* function,
                                                          int threads,
                                                          std::size_t) {
    if (registered().count(function) == 0) return cudaErrorInvalidDeviceFunction;
    *blocks = 2048 / threads;
    return cudaSuccess;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
    return enqueue(stream, [=] { function(data); });
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
    *event = reinterpret_cast<cudaEvent_t>(new double(-1));
    ++fake_gpu().events;
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    delete reinterpret_cast<double*>(event);
    --fake_gpu().events;
    return cudaSuccess;
}

// A launch takes a millisecond of the fake's time.
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    return enqueue(stream,
                   [event] { *reinterpret_cast<double*>(event) = fake_gpu().launches; });
}

cudaError_t cudaEventSynchronize(cudaEvent_t) {
    return drain();
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
    const double a = *reinterpret_cast<double*>(begin), b = *reinterpret_cast<double*>(end);
    if (a < 0 || b < 0) return cudaErrorInvalidValue;
    *milliseconds = static_cast<float>(b - a);
    return cudaSuccess;
}

}  // extern "C"
