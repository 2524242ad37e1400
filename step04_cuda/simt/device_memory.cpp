// device_memory.cpp - chapter 4: device memory without a GPU.
#include <kvlab/cuda/device_memory.hpp>

#include <cstdlib>
#include <cstring>

#include "memory_map.hpp"

namespace kvlab {

namespace {

constexpr std::size_t kPointerAlignment = 256;  // cudaMalloc's
// So far apart that an index a little too large falls between two allocations.
constexpr std::size_t kGap = 4096;
constexpr int kPoison = 0xff;  // four of these are a NaN

// Marks the granules of [pointer, pointer + bytes) as written.
void note_written(simt::Region& region, const void* pointer, std::size_t bytes) {
    const auto first = reinterpret_cast<std::uintptr_t>(pointer) - region.begin;
    for (std::uintptr_t g = first / region.granule; g <= (first + bytes - 1) / region.granule;
         ++g)
        region.written[g] = true;
}

}  // namespace

void* device_alloc_bytes(Index bytes, Index granule, const char* name) {
    check(bytes > 0 && granule > 0, "device memory '", name,
          "': expected at least one byte, found ", bytes);
    const auto size = static_cast<std::size_t>(bytes);
    const std::size_t whole =
        (size + kGap + kPointerAlignment - 1) / kPointerAlignment * kPointerAlignment;
    void* memory = std::aligned_alloc(kPointerAlignment, whole);
    check(memory != nullptr, "device memory '", name, "': no room for ", bytes, " bytes");
    std::memset(memory, kPoison, size);
    simt::MemoryMap::instance().add(memory, size, static_cast<std::size_t>(granule), name);
    return memory;
}

void device_free(void* pointer) {
    if (pointer == nullptr) return;
    simt::MemoryMap::instance().remove(pointer);
    std::free(pointer);
}

void copy_bytes_to_device(void* device, const void* host, Index bytes) {
    if (bytes == 0) return;
    const auto size = static_cast<std::size_t>(bytes);
    simt::Region& region =
        simt::MemoryMap::instance().enclosing(device, size, "copy to device");
    std::memcpy(device, host, size);
    if (!region.frozen) note_written(region, device, size);
}

void copy_bytes_to_host(void* host, const void* device, Index bytes) {
    if (bytes == 0) return;
    const auto size = static_cast<std::size_t>(bytes);
    simt::MemoryMap::instance().enclosing(device, size, "copy to host");
    std::memcpy(host, device, size);
}

void device_freeze(const void* pointer) {
    simt::Region& region = simt::MemoryMap::instance().enclosing(pointer, 1, "device_freeze");
    region.frozen = true;
    region.shadow = nullptr;
    region.written.clear();
}

}  // namespace kvlab
