// access.cpp - chapter 4: judges every access of a checked kernel: where it goes, whether there
// is something to read, who else was there, and what it costs.
#include <algorithm>

#include "machine.hpp"

namespace kvlab::simt {

namespace {

// Accesses after a read that came too early, until it is reported: a loop that waits for a
// value that never comes would go on for ever.
constexpr Index kPatience = Index{1} << 20;

const char* verb_of(Access kind) {
    return kind == Access::read ? "reads" : kind == Access::write ? "writes" : "updates";
}

std::string bytes_at(const char* verb, std::size_t bytes) {
    return concat(verb, " ", bytes, bytes == 1 ? " byte" : " bytes");
}

std::string hex(std::uintptr_t address) {
    return concat("0x", std::hex, address);
}

}  // namespace

void Machine::access(std::uintptr_t address, std::size_t bytes, Access kind, const void* pc) {
    if (fibers_->owns(address)) return;  // a local variable
    judge_or_halt([&] { judge(address, bytes, kind, pc); });
}

void Machine::judge(std::uintptr_t address, std::size_t bytes, Access kind, const void* pc) {
    Region* found = MemoryMap::instance().find(address);
    if (found == nullptr && kind == Access::read &&
        ProgramImage::instance().is_constant(address, bytes))
        return;
    const char* verb = verb_of(kind);
    if (found == nullptr || bytes > found->end - address)
        throw_outside(found, address, bytes, verb, pc);
    Region& region = *found;
    const bool natural = bytes <= 16 && (bytes & (bytes - 1)) == 0;
    if (natural && address % bytes != 0)
        throw Finding{
            FaultKind::misaligned,
            concat(bytes_at(verb, bytes), " at ", region.describe(address), ", address ",
                   hex(address), ", which is not a multiple of ", bytes),
            region.name,
            current,
            pc,
            nullptr,
            thread().calls};
    if (region.frozen && kind != Access::read)
        throw Finding{FaultKind::write_to_frozen,
                      concat(bytes_at(verb, bytes), " at ", region.describe(address),
                             ", which kernels may only read"),
                      region.name,
                      current,
                      pc,
                      nullptr,
                      thread().calls};
    check_in_flight(region, address, bytes, kind, pc);
    if (too_early_ && ++accesses_since_ > kPatience) throw Finding(*too_early_);
    if (!region.frozen) {
        const std::size_t granules = (region.bytes() + region.granule - 1) / region.granule;
        if (!region.shadow) region.shadow = std::make_unique<Shadow>(granules);
        check_written(region, address, bytes, kind, pc);
        check_race(region, address, bytes, kind, pc);
    }
    if (kind == Access::atomic) {
        ++counters.atomics;
        return;
    }
    // An asynchronous copy is a load and a store in one place.
    const bool store = kind == Access::write;
    const std::uint64_t site = Spot{pc, thread().path()}.site() ^ std::uint64_t{store} << 63;
    warps_[current / kLanes].traffic.add(current % kLanes, site, region.shared, store, address,
                                         bytes);
}

void Machine::throw_outside(const Region* region,
                            std::uintptr_t address,
                            std::size_t bytes,
                            const char* verb,
                            const void* pc) {
    const MemoryMap& map = MemoryMap::instance();
    Finding finding{FaultKind::out_of_bounds, {}, {}, current, pc, nullptr, thread().calls};
    const std::string* freed = map.find_freed(address);
    const Region* near = region != nullptr ? region : map.nearest(address);
    if (region == nullptr && freed != nullptr) {
        finding.kind = FaultKind::use_after_free;
        finding.memory = *freed;
        finding.text = concat(bytes_at(verb, bytes), " of '", *freed,
                              "', which has been freed, address ", hex(address));
    } else if (near != nullptr) {
        finding.memory = near->name;
        finding.text = concat(bytes_at(verb, bytes), " at ", near->describe(address),
                              ", address ", hex(address));
    } else {
        finding.kind = FaultKind::not_device_memory;
        finding.text = concat(bytes_at(verb, bytes), " at address ", hex(address),
                              ", where there is no device memory");
    }
    throw finding;
}

// Global memory remembers what was written since it was allocated; shared memory begins anew
// with each block.
void Machine::check_written(
    Region& region, std::uintptr_t address, std::size_t bytes, Access kind, const void* pc) {
    const std::uintptr_t first = (address - region.begin) / region.granule;
    const std::uintptr_t last = (address + bytes - 1 - region.begin) / region.granule;
    for (std::uintptr_t g = first; g <= last; ++g) {
        const bool written = region.shared
                                 ? region.shadow->last_write(g).interval >= block_first_
                                 : region.is_written(g);
        if (kind != Access::write && !written) {
            Finding finding{
                FaultKind::uninitialised,
                concat(bytes_at(verb_of(kind), bytes), " at ", region.describe(address),
                       ", where nothing was written", region.shared ? " by this block" : ""),
                region.name,
                current,
                pc,
                nullptr,
                thread().calls};
            if (!region.shared) throw finding;
            if (too_early_) continue;
            too_early_ = std::make_unique<Finding>(std::move(finding));
            accesses_since_ = 0;
        }
        if (kind != Access::read && !region.shared) region.set_written(g);
    }
}

void Machine::check_race(
    Region& region, std::uintptr_t address, std::size_t bytes, Access kind, const void* pc) {
    const Now time = now(pc);
    const std::uintptr_t first = (address - region.begin) / region.granule;
    const std::uintptr_t last = (address + bytes - 1 - region.begin) / region.granule;
    for (std::uintptr_t g = first; g <= last; ++g) {
        const Stamp* clash = region.shadow->touch(g, kind, time, region.shared);
        if (clash == nullptr) continue;
        Stamp other = *clash;
        const Access before = clash != &region.shadow->last_write(g) ? Access::read
                              : other.atomic                         ? Access::atomic
                                                                     : Access::write;
        // One of several, and this thread came last: the one before it is meant.
        if (other.by > Stamp::By::thread && other.thread == current) {
            other.thread = other.other_thread;
            other.pc = other.other_pc;
        }
        throw Finding{FaultKind::race,
                      concat(bytes_at(verb_of(kind), bytes), " at ", region.describe(address),
                             ", which ", who(other, before)),
                      region.name,
                      current,
                      pc,
                      ProgramImage::instance().at(other.pc),
                      thread().calls};
    }
}

// "thread (3,0,0) wrote with nothing between to order the two"
std::string Machine::who(const Stamp& stamp, Access kind) const {
    const char* did = kind == Access::read    ? "read"
                      : kind == Access::write ? "wrote"
                                              : "updated";
    // The stamp names the last access. Of an earlier block's only the fact is kept.
    const bool elsewhere = stamp.interval < block_begin_;
    if (!elsewhere && stamp.other_blocks)
        return concat("another block ", did, "; nothing orders the blocks of a launch");
    const std::string thread = concat("thread ", position(stamp.thread));
    if (!elsewhere) return concat(thread, " ", did, " with nothing between to order the two");
    const auto later = std::upper_bound(
        block_intervals_.begin(), block_intervals_.end(), stamp.interval,
        [](std::uint32_t interval, const auto& entry) { return interval < entry.first; });
    return concat(thread, " of block ", triple(std::prev(later)->second), " ", did,
                  "; nothing orders the blocks of a launch");
}

Now Machine::now(const void* pc) const {
    return {launch_begin_,
            block_begin_,
            interval_,
            warps_[current / kLanes].syncs,
            ProgramImage::instance().offset(pc),
            static_cast<std::uint16_t>(current)};
}

}  // namespace kvlab::simt
