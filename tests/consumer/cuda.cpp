// The library of chapter 4 from outside: device memory, wherever it is.
#include <cstdio>
#include <vector>

#include <kvlab/cuda/device.hpp>
#include <kvlab/cuda/device_memory.hpp>

int main() {
    std::string why_not;
    const bool gpu = kvlab::gpu_available(&why_not);
    if (gpu) kvlab::select_device(kvlab::Device::gpu);
    const std::vector<float> values = {1, 2, 3};
    const kvlab::DeviceArray<float> array(values);
    std::printf("%s; GPU: %s\n", kvlab::device_name().c_str(), gpu ? "yes" : why_not.c_str());
    return array.to_host() == values ? 0 : 1;
}
