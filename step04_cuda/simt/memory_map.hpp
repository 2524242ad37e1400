// memory_map.hpp - chapter 4: which allocation or shared array an address belongs to.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "program_image.hpp"
#include "shadow.hpp"

namespace kvlab::simt {

// What memory holds that nobody wrote, where nobody watches who reads it.
inline constexpr int kPoison = 0xff;  // four of these are a NaN

// One allocation or one shared array.
struct Region {
    std::uintptr_t begin = 0, end = 0;
    std::string name;
    bool shared = false;
    bool frozen = false;         // device_freeze: bounds only
    std::uintptr_t granule = 1;  // bytes of one stamp
    bool all_written = false;    // then `written` is empty
    std::vector<bool> written;   // by granule; of global memory
    std::unique_ptr<Shadow> shadow;

    std::size_t bytes() const { return end - begin; }

    bool is_written(std::uintptr_t granule_index) const {
        return all_written || written[granule_index];
    }

    void set_written(std::uintptr_t granule_index) {
        if (!all_written) written[granule_index] = true;
    }

    void set_all_written() {
        all_written = true;
        written = {};
    }

    // "byte 8 of 'tile' (64 bytes, shared memory)"; begins "12 bytes behind" outside of it.
    std::string describe(std::uintptr_t address) const;
};

// Bytes before and behind each allocation, so that an index a little off falls between two.
inline constexpr std::size_t kGap = 4096;

class MemoryMap {
public:
    static MemoryMap& instance();

    // The region that holds this address, or null.
    Region* find(std::uintptr_t address);

    // The nearest region, for a report of an address that none holds; null if none is near.
    const Region* nearest(std::uintptr_t address) const;

    // The name of what was freed there, or null.
    const std::string* find_freed(std::uintptr_t address) const;

    Region& add(void* memory, std::size_t bytes, std::size_t granule, const char* name);
    // Returns its bytes. Throws Error unless add() was told of it.
    std::size_t remove(void* memory);

    bool has_allocations() const;

    // The region in which [address, address + bytes) lies. Throws Error otherwise.
    Region& enclosing(const void* address, std::size_t bytes, const char* what);

    // Dynamic shared memory of the launch under way.
    void set_dynamic_shared(void* memory, std::size_t bytes);

    // After raw launches, whose writes nobody saw: all memory counts as written.
    void forget_uninitialised();

private:
    MemoryMap();

    std::map<std::uintptr_t, Region> regions_;  // by their first byte
    Region* last_ = nullptr;                    // where the last address was found
    std::uintptr_t dynamic_shared_ = 0;
    std::map<std::uintptr_t, std::pair<std::uintptr_t, std::string>> freed_;  // end, name
};

}  // namespace kvlab::simt
