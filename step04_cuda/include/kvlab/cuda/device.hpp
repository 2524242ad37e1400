// device.hpp - chapter 4: which of the two worlds runs the kernels: the executor on this CPU,
// or a GPU. One program holds both; which one is chosen when it runs.
//
// On a GPU there is one stream: launches return at once and run one after another. What a
// kernel does wrong comes up as Error at the next copy, launch or device_synchronize(), which
// may be far away; CUDA_LAUNCH_BLOCKING=1 in the environment makes each launch wait, and so
// names it. To be used from one thread at a time.
#pragma once

#include <cstdint>
#include <string>

#include <kvlab/cuda/device_facts.hpp>
#include <kvlab/tensor/measure.hpp>
#include <kvlab/tensor/tensor.hpp>

namespace kvlab {

enum class Device : std::uint8_t { executor, gpu };

// Whether nvcc has compiled the kernels of this program, too (CMake's KVLAB_GPU).
bool gpu_built();

// Whether there is a GPU that can run them. If not, says why in a few words.
bool gpu_available(std::string* why_not = nullptr);

// Where all that follows is allocated and launched; the executor, unless this is called. Throws
// Error if there is no such device, or while device memory is allocated.
void select_device(Device device);

Device selected_device();

// "NVIDIA ...", or "SIMT executor".
std::string device_name();

// Multiprocessors: blocks that run at a time, at one each. The executor says 4.
Index device_multiprocessors();

// Of the device that is selected.
DeviceFacts device_facts();

// Kernels that this program has launched so far, on either device: the difference of two counts
// says how many a piece of work needs. A launch that is refused is none.
Index launch_count();

// Waits for all launches. Throws Error if one of them failed.
void device_synchronize();

// Seconds that the device takes for what is launched from restart() on. On a GPU two marks in
// the stream ("events") measure it, so that the host's own time is not in it; under the
// executor it is the wall clock. Of the device that was selected when it was made.
class DeviceStopwatch {
public:
    DeviceStopwatch();
    ~DeviceStopwatch();
    DeviceStopwatch(const DeviceStopwatch&) = delete;
    DeviceStopwatch& operator=(const DeviceStopwatch&) = delete;

    void restart();

    // Waits until all of it is done.
    double seconds() const;

private:
    void* events_ = nullptr;  // null under the executor
    Stopwatch clock_;
};

}  // namespace kvlab
