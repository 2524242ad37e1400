// cuda_runtime.cu - chapter 4: launches and memory where there is a GPU. Compiled by nvcc
// alone.
#include <kvlab/cuda/device_memory.hpp>
#include <kvlab/cuda/launch.hpp>

namespace kvlab {

namespace {

void check_cuda(cudaError_t code, const char* what) {
    if (code != cudaSuccess) throw Error(concat(what, ": ", cudaGetErrorString(code)));
}

}  // namespace

void gpu_launch(const LaunchShape& shape, const void* function, void** arguments) {
    LaunchShape full = shape;
    cudaFuncAttributes attributes{};
    check_cuda(cudaFuncGetAttributes(&attributes, function), shape.kernel);
    full.static_shared = attributes.sharedSizeBytes;
    check_launch(full);
    // More than 48 KiB of dynamic shared memory has to be asked for.
    if (full.static_shared + full.dynamic_shared > kStaticSharedLimit)
        check_cuda(cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                        static_cast<int>(shape.dynamic_shared)),
                   shape.kernel);
    check_cuda(cudaLaunchKernel(function, shape.grid, shape.block, arguments,
                                shape.dynamic_shared, nullptr),
               shape.kernel);
    check_cuda(cudaDeviceSynchronize(), shape.kernel);
}

void* device_alloc_bytes(Index bytes, Index granule, const char* name) {
    check(bytes > 0 && granule > 0, "device memory '", name,
          "': expected at least one byte, found ", bytes);
    void* memory = nullptr;
    check_cuda(cudaMalloc(&memory, static_cast<std::size_t>(bytes)), name);
    return memory;
}

void device_free(void* pointer) {
    check_cuda(cudaFree(pointer), "device_free");
}

void copy_bytes_to_device(void* device, const void* host, Index bytes) {
    check_cuda(
        cudaMemcpy(device, host, static_cast<std::size_t>(bytes), cudaMemcpyHostToDevice),
        "copy to device");
}

void copy_bytes_to_host(void* host, const void* device, Index bytes) {
    check_cuda(
        cudaMemcpy(host, device, static_cast<std::size_t>(bytes), cudaMemcpyDeviceToHost),
        "copy to host");
}

void device_freeze(const void*) {}

}  // namespace kvlab
