// memory_map.cpp - chapter 4: the regions of memory, global and shared.
#include "memory_map.hpp"

#include <algorithm>

namespace kvlab::simt {

namespace {

// An address that misses every region by more than this is not called out of bounds.
constexpr std::uintptr_t kNear = std::uintptr_t{1} << 20;

std::string count_of(std::uintptr_t bytes) {
    return concat(bytes, bytes == 1 ? " byte" : " bytes");
}

}  // namespace

std::string Region::describe(std::uintptr_t address) const {
    const std::string what = concat("'", name, "' (", count_of(bytes()), ", ",
                                    shared ? "shared" : "global", " memory)");
    if (address < begin) return concat(count_of(begin - address), " before ", what);
    if (address >= end) return concat(count_of(address - end), " behind the end of ", what);
    return concat("byte ", address - begin, " of ", what);
}

MemoryMap& MemoryMap::instance() {
    static MemoryMap map;
    return map;
}

MemoryMap::MemoryMap() {
    for (const Symbol& array : ProgramImage::instance().shared_arrays()) {
        Region& region = regions_[array.begin];
        region.begin = array.begin;
        region.end = array.end;
        region.name = variable_name(array.name);
        region.shared = true;
    }
}

Region* MemoryMap::find(std::uintptr_t address) {
    if (last_ != nullptr && address >= last_->begin && address < last_->end) return last_;
    auto above = regions_.upper_bound(address);
    if (above == regions_.begin()) return nullptr;
    Region& region = std::prev(above)->second;
    if (address >= region.end) return nullptr;
    return last_ = &region;
}

const Region* MemoryMap::nearest(std::uintptr_t address) const {
    const auto above = regions_.upper_bound(address);
    const Region* best = nullptr;
    std::uintptr_t distance = kNear;
    if (above != regions_.end() && above->second.begin - address < distance) {
        best = &above->second;
        distance = best->begin - address;
    }
    if (above != regions_.begin()) {
        const Region& below = std::prev(above)->second;
        if (address - below.end < distance) best = &below;
    }
    return best;
}

const std::string* MemoryMap::find_freed(std::uintptr_t address) const {
    const auto above = freed_.upper_bound(address);
    if (above == freed_.begin()) return nullptr;
    const auto& [end, name] = std::prev(above)->second;
    return address < end ? &name : nullptr;
}

Region& MemoryMap::add(void* memory, std::size_t bytes, std::size_t granule, const char* name) {
    const auto begin = reinterpret_cast<std::uintptr_t>(memory);
    // What was freed there is given out again, with the gaps: forget its name.
    for (auto old = freed_.begin(); old != freed_.end();) {
        const bool overlaps =
            old->first < begin + bytes + kGap && begin - kGap < old->second.first;
        old = overlaps ? freed_.erase(old) : std::next(old);
    }
    Region& region = regions_[begin];
    region.begin = begin;
    region.end = begin + bytes;
    region.name = name;
    region.granule = granule;
    region.written.assign((bytes + granule - 1) / granule, false);
    return region;
}

std::size_t MemoryMap::remove(void* memory) {
    const auto found = regions_.find(reinterpret_cast<std::uintptr_t>(memory));
    check(found != regions_.end() && !found->second.shared,
          "device_free: no allocation begins at ", memory);
    const std::size_t bytes = found->second.bytes();
    freed_[found->first] = {found->second.end, found->second.name};
    last_ = nullptr;
    regions_.erase(found);
    return bytes;
}

bool MemoryMap::has_allocations() const {
    return std::any_of(regions_.begin(), regions_.end(),
                       [](const auto& entry) { return !entry.second.shared; });
}

Region& MemoryMap::enclosing(const void* address, std::size_t bytes, const char* what) {
    const auto first = reinterpret_cast<std::uintptr_t>(address);
    Region* region = find(first);
    if (region == nullptr || region->shared)
        throw Error(concat(what, ": ", address, " is not in device memory"));
    check(bytes <= region->end - first, what, ": ", bytes, " bytes from ",
          region->describe(first), " on go past its end");
    return *region;
}

void MemoryMap::set_dynamic_shared(void* memory, std::size_t bytes) {
    if (dynamic_shared_ != 0) regions_.erase(dynamic_shared_);
    last_ = nullptr;
    dynamic_shared_ = bytes == 0 ? 0 : reinterpret_cast<std::uintptr_t>(memory);
    if (bytes == 0) return;
    Region& region = regions_[dynamic_shared_];
    region.begin = dynamic_shared_;
    region.end = region.begin + bytes;
    region.name = "dynamic shared memory";
    region.shared = true;
}

void MemoryMap::forget_uninitialised() {
    for (auto& [begin, region] : regions_)
        if (!region.all_written) region.set_all_written();
}

}  // namespace kvlab::simt
