// fibers.hpp - chapter 4: one stack per CUDA thread of a block, all on one thread of the CPU.
#pragma once

#include <boost/context/detail/fcontext.hpp>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace kvlab::simt {

// Boost's plain contexts, below its class fiber: that one unwinds a stack which it destroys, by
// an exception, and a kernel that is stopped in the middle of an access cannot be unwound.
class Fibers {
public:
    using Body = void (*)();

    // `body` is what each fiber runs, once per start.
    Fibers(unsigned count, Body body);
    ~Fibers();
    Fibers(const Fibers&) = delete;
    Fibers& operator=(const Fibers&) = delete;

    // From the host's stack: runs fiber i until it yields; starts the body if it is
    // new or done.
    void resume(unsigned i);

    // From fiber `i` itself: back to resume().
    void yield(unsigned i);

    // Fiber i forgets where it was: its next resume() starts the body anew.
    void abandon(unsigned i);

    // Whether the address lies on the stack of any fiber.
    bool owns(std::uintptr_t address) const {
        return address - reinterpret_cast<std::uintptr_t>(memory_) < bytes_;
    }

private:
    struct Fiber {
        boost::context::detail::fcontext_t context = nullptr;
        void* fake_stack = nullptr;  // of the address sanitizer
        void* tsan = nullptr;        // the thread sanitizer's name for it
    };

    static void entry(boost::context::detail::transfer_t from);
    char* stack(unsigned i) const;

    Body body_;
    std::vector<Fiber> fibers_;
    char* memory_ = nullptr;
    std::size_t bytes_ = 0;
    unsigned running_ = 0;
    // The host's side of the switch under way.
    boost::context::detail::fcontext_t host_ = nullptr;
    void* host_fake_stack_ = nullptr;
    const void* host_stack_ = nullptr;
    std::size_t host_stack_bytes_ = 0;
    [[maybe_unused]] void* host_tsan_ = nullptr;
};

}  // namespace kvlab::simt
