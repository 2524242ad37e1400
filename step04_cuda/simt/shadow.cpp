// shadow.cpp - chapter 4: the rules by which two accesses are ordered.
#include "shadow.hpp"

#include <cstdlib>
#include <new>

namespace kvlab::simt {

namespace {

Stamp* allocate(std::size_t count) {
    // All bits zero is a Stamp by nobody.
    void* memory = std::calloc(count == 0 ? 1 : count, sizeof(Stamp));
    if (memory == nullptr) throw std::bad_alloc();
    return static_cast<Stamp*>(memory);
}

}  // namespace

// ANCHOR: ordered
bool Stamp::ordered_before(const Now& now, bool shared) const {
    if (by == By::nobody || interval < now.launch_begin) return true;
    // Nothing orders the blocks of a launch; but each has shared memory of its own.
    if (interval < now.block_begin) return shared;
    if (other_blocks) return false;
    if (interval < now.interval) return true;
    if (by == By::block || thread / 32u != now.warp()) return false;
    if (by == By::thread && thread == now.thread) return true;
    return warp_syncs < now.warp_syncs;
}

// ANCHOR_END: ordered

void Stamp::set(const Now& now) {
    *this = {};
    interval = now.interval;
    warp_syncs = now.warp_syncs;
    pc = now.pc;
    thread = now.thread;
    by = By::thread;
}

void Stamp::merge(const Now& now, bool shared) {
    const bool same_launch = by != By::nobody && interval >= now.launch_begin;
    const bool others = same_launch && !shared && (other_blocks || interval < now.block_begin);
    By sum = By::thread;
    if (same_launch && interval == now.interval) {
        if (by == By::block || thread / 32u != now.warp())
            sum = By::block;
        else if (warp_syncs == now.warp_syncs && (by == By::warp || thread != now.thread))
            sum = By::warp;
    }
    const Stamp before = *this;
    set(now);
    other_pc = before.thread != now.thread ? before.pc : before.other_pc;
    other_thread = before.thread != now.thread ? before.thread : before.other_thread;
    by = sum;
    other_blocks = others;
}

void Shadow::Free::operator()(Stamp* stamps) const {
    std::free(stamps);
}

Shadow::Shadow(std::size_t granules)
    : reads_(allocate(granules)), writes_(allocate(granules)) {}

const Stamp* Shadow::touch(std::size_t granule, Access access, const Now& now, bool shared) {
    Stamp& read = reads_[granule];
    Stamp& write = writes_[granule];
    const bool both_atomic = access == Access::atomic && write.atomic;
    if (!both_atomic && !write.ordered_before(now, shared)) return &write;
    if (access == Access::read) {
        read.merge(now, shared);
        return nullptr;
    }
    if (!read.ordered_before(now, shared)) return &read;
    if (both_atomic)
        write.merge(now, shared);
    else
        write.set(now);
    write.atomic = access == Access::atomic;
    return nullptr;
}

}  // namespace kvlab::simt
