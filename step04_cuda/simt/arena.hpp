// arena.hpp - chapter 4: device memory that host code cannot touch: one range of addresses,
// which the operating system opens for a launch or a copy and closes behind it.
//
//   begin_                                                  top_              end_
//     [ gap | memory | gap | gap | memory | gap | ......... ]  never used yet  ]
//
// Under one guard no address is used twice, so a pointer to memory that was freed never points
// into another allocation.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kvlab::simt {

class Arena {
public:
    // Null until the first guard; stays then.
    static Arena* instance();
    static Arena& make();  // throws Error if the operating system refuses

    // While it guards, device memory comes from here, and is closed unless open() is in effect.
    bool guards() const { return guards_; }

    void guard();  // nothing must be allocated
    void unguard();

    // `bytes` with a gap on both sides; null if the range is used up.
    void* take(std::size_t bytes);
    void give_back(void* memory, std::size_t bytes);

    bool holds(const void* address) const;

    // Nested calls count; the outermost pair makes the difference.
    void open();
    void close();

private:
    Arena();
    void protect(int protection);

    std::uintptr_t begin_ = 0, top_ = 0, end_ = 0, page_ = 0;
    bool guards_ = false;
    int opened_ = 1;  // without a guard it is open
};

// Opens the arena, if there is one, until it goes out of scope.
class OpenArena {
public:
    OpenArena() : arena_(Arena::instance()) {
        if (arena_ != nullptr) arena_->open();
    }

    ~OpenArena() {
        if (arena_ != nullptr) arena_->close();
    }

    OpenArena(const OpenArena&) = delete;
    OpenArena& operator=(const OpenArena&) = delete;

private:
    Arena* arena_;
};

}  // namespace kvlab::simt
