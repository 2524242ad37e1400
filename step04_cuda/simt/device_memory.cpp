// device_memory.cpp - chapter 4: device memory without a GPU.
#include "device_memory.hpp"

#include <cstdlib>
#include <cstring>

#include "arena.hpp"
#include "memory_map.hpp"

namespace kvlab::simt {

namespace {

constexpr std::size_t kPointerAlignment = 256;  // cudaMalloc's

// Marks the granules of [pointer, pointer + bytes) as written.
void note_written(Region& region, const void* pointer, std::size_t bytes) {
    const auto first = reinterpret_cast<std::uintptr_t>(pointer) - region.begin;
    for (std::uintptr_t g = first / region.granule; g <= (first + bytes - 1) / region.granule;
         ++g)
        region.set_written(g);
}

// Memory with a gap on both sides.
void* take(std::size_t bytes) {
    Arena* arena = Arena::instance();
    if (arena != nullptr && arena->guards()) return arena->take(bytes);
    const std::size_t rounded =
        (bytes + kPointerAlignment - 1) / kPointerAlignment * kPointerAlignment;
    void* whole = std::aligned_alloc(kPointerAlignment, kGap + rounded + kGap);
    return whole == nullptr ? nullptr : static_cast<char*>(whole) + kGap;
}

// A GPU would take it for an address of the host's, and copy nonsense or fail.
void check_host_side(const void* host, const char* what) {
    const auto address = reinterpret_cast<std::uintptr_t>(host);
    check(MemoryMap::instance().find(address) == nullptr, what, ": ", host,
          " is device memory, expected the host's");
}

}  // namespace

std::mutex& machine_mutex() {
    static std::mutex mutex;
    return mutex;
}

void* alloc(std::size_t bytes, std::size_t granule, const char* name) {
    const std::lock_guard lock(machine_mutex());
    void* memory = take(bytes);
    check(memory != nullptr, "device memory '", name, "': no room for ", bytes, " bytes");
    const OpenArena open;
    std::memset(memory, kPoison, bytes);
    MemoryMap::instance().add(memory, bytes, granule, name);
    return memory;
}

void free(void* pointer) {
    const std::lock_guard lock(machine_mutex());
    const std::size_t bytes = MemoryMap::instance().remove(pointer);
    Arena* arena = Arena::instance();
    if (arena != nullptr && arena->holds(pointer))
        arena->give_back(pointer, bytes);
    else
        std::free(static_cast<char*>(pointer) - kGap);
}

void copy_to_device(void* device, const void* host, std::size_t bytes) {
    const std::lock_guard lock(machine_mutex());
    check_host_side(host, "copy to device");
    Region& region = MemoryMap::instance().enclosing(device, bytes, "copy to device");
    const OpenArena open;
    std::memcpy(device, host, bytes);
    note_written(region, device, bytes);
}

void copy_to_host(void* host, const void* device, std::size_t bytes) {
    const std::lock_guard lock(machine_mutex());
    check_host_side(host, "copy to host");
    MemoryMap::instance().enclosing(device, bytes, "copy to host");
    const OpenArena open;
    std::memcpy(host, device, bytes);
}

void freeze(const void* pointer) {
    const std::lock_guard lock(machine_mutex());
    Region& region = MemoryMap::instance().enclosing(pointer, 1, "device_freeze");
    region.frozen = true;
    region.shadow = nullptr;
    region.set_all_written();
}

}  // namespace kvlab::simt
