// shadow.hpp - chapter 4: who touched a piece of memory last, and when: how races are seen.
//
// Time is counted in INTERVALS: a new one begins with each block and behind each barrier, and
// their numbers grow over the whole life of the program. So one comparison tells whether an
// access belongs to an earlier launch, to another block, or to the time before the last
// barrier. Inside of an interval each warp counts its __syncwarp.
#pragma once

#include <cstdint>
#include <memory>

namespace kvlab::simt {

// Everything about the access under way that does not depend on its address.
struct Now {
    std::uint32_t launch_begin = 1, block_begin = 1,
                  interval = 1;    // first and current interval
    std::uint32_t warp_syncs = 0;  // of the thread's warp in this block
    std::uint32_t pc = 0;          // as an offset into the program
    std::uint16_t thread = 0;      // number in the block

    unsigned warp() const { return thread / 32u; }
};

// The last access of one kind; of several in one interval, the sum.
struct Stamp {
    enum class By : std::uint8_t { nobody, thread, warp, block };

    std::uint32_t interval = 0;
    std::uint32_t warp_syncs = 0;
    // The last thread that did it; and of several the last before it, for a report to the last.
    std::uint32_t pc = 0, other_pc = 0;
    std::uint16_t thread = 0, other_thread = 0;
    By by = By::nobody;
    bool atomic = false;
    bool other_blocks = false;  // of the same launch, before this stamp's block

    // Whether all of it happened before `now`, by a barrier, a __syncwarp, the order of one
    // thread's own instructions, or the end of a launch.
    bool ordered_before(const Now& now, bool shared) const;

    void set(const Now& now);
    void merge(const Now& now, bool shared);  // as another reader, or another atomic operation
};

enum class Access : std::uint8_t { read, write, atomic };

// The stamps of one allocation, two for each granule. calloc takes pages when they are touched,
// so what kernels never visit costs nothing.
class Shadow {
public:
    explicit Shadow(std::size_t granules);

    // Notes the access. The earlier one that it races with, or null.
    const Stamp* touch(std::size_t granule, Access access, const Now& now, bool shared);

    const Stamp& last_write(std::size_t granule) const { return writes_[granule]; }

private:
    struct Free {
        void operator()(Stamp* stamps) const;
    };

    std::unique_ptr<Stamp[], Free> reads_, writes_;
};

}  // namespace kvlab::simt
