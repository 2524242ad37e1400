// device_memory.cpp - chapter 4: device memory without a GPU.
#include <kvlab/cuda/device_memory.hpp>

#include <cstdlib>
#include <cstring>

#include "memory_map.hpp"

namespace kvlab {

namespace {

constexpr std::size_t kPointerAlignment = 256;  // cudaMalloc's
constexpr int kPoison = 0xff;                   // four of these are a NaN

// Marks the granules of [pointer, pointer + bytes) as written.
void note_written(simt::Region& region, const void* pointer, std::size_t bytes) {
    const auto first = reinterpret_cast<std::uintptr_t>(pointer) - region.begin;
    for (std::uintptr_t g = first / region.granule; g <= (first + bytes - 1) / region.granule;
         ++g)
        region.set_written(g);
}

}  // namespace

void* device_alloc_bytes(Index bytes, Index granule, const char* name) {
    check(bytes > 0 && granule > 0, "device memory '", name,
          "': expected at least one byte, found ", bytes);
    const auto size = static_cast<std::size_t>(bytes);
    const std::size_t rounded =
        (size + kPointerAlignment - 1) / kPointerAlignment * kPointerAlignment;
    void* whole = std::aligned_alloc(kPointerAlignment, simt::kGap + rounded + simt::kGap);
    check(whole != nullptr, "device memory '", name, "': no room for ", bytes, " bytes");
    void* memory = static_cast<char*>(whole) + simt::kGap;
    std::memset(memory, kPoison, size);
    simt::MemoryMap::instance().add(memory, size, static_cast<std::size_t>(granule), name);
    return memory;
}

void device_free(void* pointer) {
    if (pointer == nullptr) return;
    simt::MemoryMap::instance().remove(pointer);
    std::free(static_cast<char*>(pointer) - simt::kGap);
}

void copy_bytes_to_device(void* device, const void* host, Index bytes) {
    if (bytes == 0) return;
    const auto size = static_cast<std::size_t>(bytes);
    simt::Region& region =
        simt::MemoryMap::instance().enclosing(device, size, "copy to device");
    std::memcpy(device, host, size);
    note_written(region, device, size);
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
    region.set_all_written();
}

}  // namespace kvlab
