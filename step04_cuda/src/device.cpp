// device.cpp - chapter 4: sends memory, copies and launches to the device that is selected.
#include <kvlab/cuda/device.hpp>

#include <atomic>

#include <kvlab/cuda/device_memory.hpp>
#include <kvlab/cuda/launch.hpp>

#include "../gpu/gpu_runtime.hpp"
#include "../simt/device_memory.hpp"
#include "recording.hpp"

namespace kvlab {

namespace {

Device& current_device() {
    static Device device = Device::executor;
    return device;
}

// Allocations that have not been freed.
std::atomic<Index>& allocations() {
    static std::atomic<Index> count{0};
    return count;
}

std::atomic<Index>& launches() {
    static std::atomic<Index> count{0};
    return count;
}

bool on_gpu() {
    return current_device() == Device::gpu;
}

// Throws Error if the shape is refused.
GpuLaunch gpu_shape(const LaunchShape& shape, const void* function, void** arguments) {
    check(function != nullptr, "launch of '", shape.kernel, "': nvcc has not compiled it");
    LaunchShape full = shape;
    full.static_shared = gpu_static_shared(shape.kernel, function);
    check_launch(full);
    const auto& [kernel, grid, block, static_shared, dynamic_shared, cooperative] = full;
    return {kernel,
            function,
            arguments,
            {grid.x, grid.y, grid.z},
            {block.x, block.y, block.z},
            dynamic_shared,
            static_shared + dynamic_shared > kStaticSharedLimit,
            cooperative};
}

}  // namespace

bool gpu_built() {
    return kGpuBuilt;
}

bool gpu_available(std::string* why_not) {
    return gpu_found(why_not);
}

void select_device(Device device) {
    check_not_recording("select_device");
    check(allocations() == 0, "select_device: ", allocations().load(),
          " allocations of device memory are in use");
    if (device == Device::gpu) {
        std::string why_not;
        check(gpu_found(&why_not), "no GPU: ", why_not);
        gpu_open();
    }
    current_device() = device;
}

Device selected_device() {
    return current_device();
}

std::string device_name() {
    return on_gpu() ? gpu_name() : "SIMT executor";
}

Index device_multiprocessors() {
    constexpr Index kOfExecutor = 4;  // several, so that what blocks do together is seen
    return on_gpu() ? gpu_facts().multiprocessors : kOfExecutor;
}

DeviceFacts device_facts() {
    return on_gpu() ? gpu_facts() : DeviceFacts{};
}

Index launch_count() {
    return launches();
}

void count_launches(Index count) {
    launches() += count;
}

void device_synchronize() {
    check_not_recording("device_synchronize");
    if (on_gpu()) gpu_synchronize();
}

DeviceStopwatch::DeviceStopwatch() {
    check_not_recording("stopwatch");
    if (on_gpu()) events_ = gpu_seconds_make();
    restart();
}

DeviceStopwatch::~DeviceStopwatch() {
    if (events_ != nullptr) gpu_seconds_drop(events_);
}

void DeviceStopwatch::restart() {
    check_not_recording("stopwatch");
    if (events_ != nullptr)
        gpu_seconds_begin(events_);
    else
        clock_.restart();
}

double DeviceStopwatch::seconds() const {
    check_not_recording("stopwatch");
    return events_ != nullptr ? gpu_seconds_end(events_) : clock_.seconds();
}

void launch_on_gpu(const LaunchShape& shape, const void* function, void** arguments) {
    const GpuLaunch launch = gpu_shape(shape, function, arguments);
    if (shape.cooperative) check_resident(shape, gpu_resident_blocks(launch));
    gpu_launch(launch);
    if (is_recording())
        note_recorded();
    else
        count_launches(1);
}

unsigned cooperative_blocks_on_gpu(const LaunchShape& shape, const void* function) {
    return gpu_resident_blocks(gpu_shape(shape, function, nullptr));
}

void launch_on_executor(const LaunchShape& shape, std::function<void()> run) {
    if (!is_recording()) {
        run();
        return count_launches(1);
    }
    check_launch(shape);
    if (shape.cooperative) check_resident(shape, simt::resident_blocks());
    note_recorded(std::move(run));
}

void* device_alloc_bytes(Index bytes, Index granule, const char* name) {
    check(bytes > 0 && granule > 0, "device memory '", name,
          "': expected at least one byte in granules of at least one, found ", bytes, " in ",
          granule);
    check_bytes(name, bytes);
    check_not_recording(concat("device memory '", name, "'"));
    const auto size = usize(bytes);
    void* memory = on_gpu() ? gpu_alloc(size, name) : simt::alloc(size, usize(granule), name);
    ++allocations();
    return memory;
}

void device_free(void* pointer) {
    if (pointer == nullptr || free_after_recording(pointer)) return;
    if (on_gpu())
        gpu_free(pointer);
    else
        simt::free(pointer);
    --allocations();
}

void copy_bytes_to_device(void* device, const void* host, Index bytes) {
    check_not_recording("copy to device");
    if (bytes == 0) return;
    const auto size = usize(bytes);
    if (on_gpu())
        gpu_copy_to_device(device, host, size);
    else
        simt::copy_to_device(device, host, size);
}

void copy_bytes_to_host(void* host, const void* device, Index bytes) {
    check_not_recording("copy to host");
    if (bytes == 0) return;
    const auto size = usize(bytes);
    if (on_gpu())
        gpu_copy_to_host(host, device, size);
    else
        simt::copy_to_host(host, device, size);
}

void device_freeze(const void* pointer) {
    if (!on_gpu()) simt::freeze(pointer);
}

float* Scratch::floats(Index count) {
    if (!floats_ || floats_->size() < count) {
        floats_ = nullptr;  // before the new ones are taken
        // A cache grows token by token: a whole 4096 at a time saves growing with each.
        constexpr Index kWhole = 4096;
        floats_ = std::make_unique<DeviceArray<float>>((count + kWhole - 1) / kWhole * kWhole,
                                                       "scratch");
    }
    return floats_->get();
}

}  // namespace kvlab
