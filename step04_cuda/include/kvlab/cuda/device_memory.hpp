// device_memory.hpp - chapter 4: memory that kernels use, on the device that device.hpp has
// selected. On a GPU it is the GPU's; under the executor it is host memory whose bounds,
// contents and accesses the executor knows. Several threads may allocate, copy and launch: one
// at a time has its turn. Selecting the device is for one thread, before any.
//
// Copies come behind the launches before them, and return when they are done.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include <kvlab/tensor/tensor.hpp>

namespace kvlab {

// Aligned to 256 bytes and full of NaN; reading it before anything was written is an error in
// checked mode. `granule`: bytes of the smallest access that kernels
// make. The name shows up in reports. Throws Error unless bytes is positive.
void* device_alloc_bytes(Index bytes, Index granule, const char* name);

// Waits for the launches before it. Throws Error unless `pointer` came from device_alloc_bytes;
// null is ignored.
void device_free(void* pointer);

// Both throw Error, under the executor, if the device side is not inside of one allocation, or
// if the host side is device memory. On a GPU they throw what a launch before them did wrong.
void copy_bytes_to_device(void* device, const void* host, Index bytes);
void copy_bytes_to_host(void* host, const void* device, Index bytes);

// From now on kernels only read this allocation, which then costs no memory for bookkeeping:
// for weights. A kernel that writes to it is an error in checked mode. Nothing on a GPU.
void device_freeze(const void* pointer);

// `count` elements on the device.
template <class T>
class DeviceArray {
public:
    explicit DeviceArray(Index count, const char* name = "unnamed")
        : count_(count),
          data_(static_cast<T*>(
              device_alloc_bytes(checked_product(name, {count, kSize}),
                                 kSize < kLargestGranule ? kSize : kLargestGranule,
                                 name))) {}

    explicit DeviceArray(std::span<const T> values, const char* name = "unnamed")
        : DeviceArray(std::ssize(values), name) {
        copy_from(values);
    }

    DeviceArray(const DeviceArray&) = delete;
    DeviceArray& operator=(const DeviceArray&) = delete;

    ~DeviceArray() { device_free(data_); }

    T* get() const { return data_; }

    Index size() const { return count_; }

    // Throws Error unless there are size() values.
    void copy_from(std::span<const T> values) {
        check(std::ssize(values) == count_, "device array: expected ", count_,
              " values, found ", values.size());
        copy_bytes_to_device(data_, values.data(), count_ * kSize);
    }

    std::vector<T> to_host() const {
        std::vector<T> values(usize(count_));
        copy_bytes_to_host(values.data(), data_, count_ * kSize);
        return values;
    }

private:
    static constexpr Index kSize = Index{sizeof(T)};
    static constexpr Index kLargestGranule = 4;  // of a float4 a kernel may write one float

    Index count_;
    T* data_;
};

// Device memory to work in, that a call needs for a while; kept for the next one.
class Scratch {
public:
    // At least `count` floats, whatever they contain; valid until the next call.
    float* floats(Index count);

    Index bytes() const { return floats_ ? floats_->size() * Index{sizeof(float)} : 0; }

private:
    std::unique_ptr<DeviceArray<float>> floats_;
};

}  // namespace kvlab
