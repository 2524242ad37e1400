// fibers.cpp - chapter 4: switching stacks, and telling the sanitizers about it.
#include "fibers.hpp"

#include <sys/mman.h>

#include <kvlab/tensor/error.hpp>

#if defined(__has_feature)
#define KVLAB_HAS_FEATURE(name) __has_feature(name)
#else
#define KVLAB_HAS_FEATURE(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || KVLAB_HAS_FEATURE(address_sanitizer)
#define KVLAB_ASAN 1
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#else
#define KVLAB_ASAN 0
#endif
#if defined(__SANITIZE_THREAD__) || KVLAB_HAS_FEATURE(thread_sanitizer)
#define KVLAB_TSAN 1
#include <sanitizer/tsan_interface.h>
#else
#define KVLAB_TSAN 0
#endif

namespace kvlab::simt {

namespace {

using boost::context::detail::jump_fcontext;
using boost::context::detail::make_fcontext;
using boost::context::detail::transfer_t;

// Pages are taken when they are touched. The address sanitizer makes frames
// several times larger.
constexpr std::size_t kStackBytes = std::size_t{KVLAB_ASAN ? 256 : 64} << 10;
constexpr std::size_t kGuardBytes =
    4096;  // at the lower end, so that an overflow stops at once

// What the address sanitizer has to hear around a switch: where the stack is that comes next.
void before_switch([[maybe_unused]] void** save,
                   [[maybe_unused]] const void* bottom,
                   [[maybe_unused]] std::size_t bytes) {
#if KVLAB_ASAN
    __sanitizer_start_switch_fiber(save, bottom, bytes);
#endif
}

void after_switch([[maybe_unused]] void* fake_stack,
                  [[maybe_unused]] const void** bottom,
                  [[maybe_unused]] std::size_t* bytes) {
#if KVLAB_ASAN
    __sanitizer_finish_switch_fiber(fake_stack, bottom, bytes);
#endif
}

}  // namespace

Fibers::Fibers(unsigned count, Body body) : body_(body), fibers_(count) {
    bytes_ = count * kStackBytes;
    void* memory = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    check(memory != MAP_FAILED, "no memory for the stacks of ", count, " threads");
    memory_ = static_cast<char*>(memory);
    for (unsigned i = 0; i < count; ++i) mprotect(stack(i), kGuardBytes, PROT_NONE);
}

Fibers::~Fibers() {
    munmap(memory_, bytes_);
}

char* Fibers::stack(unsigned i) const {
    return memory_ + i * kStackBytes;
}

void Fibers::resume(unsigned i) {
    Fiber& fiber = fibers_[i];
    if (fiber.context == nullptr)
        fiber.context = make_fcontext(stack(i) + kStackBytes, kStackBytes - kGuardBytes, entry);
    running_ = i;
    before_switch(&host_fake_stack_, stack(i), kStackBytes);
#if KVLAB_TSAN
    host_tsan_ = __tsan_get_current_fiber();
    if (fiber.tsan == nullptr) fiber.tsan = __tsan_create_fiber(0);
    __tsan_switch_to_fiber(fiber.tsan, 0);
#endif
    fiber.context = jump_fcontext(fiber.context, this).fctx;
    after_switch(host_fake_stack_, nullptr, nullptr);
}

void Fibers::yield(unsigned i) {
    before_switch(&fibers_[i].fake_stack, host_stack_, host_stack_bytes_);
#if KVLAB_TSAN
    __tsan_switch_to_fiber(host_tsan_, 0);
#endif
    const transfer_t back = jump_fcontext(host_, this);
    host_ = back.fctx;
    after_switch(fibers_[i].fake_stack, &host_stack_, &host_stack_bytes_);
}

void Fibers::abandon(unsigned i) {
    fibers_[i].context = nullptr;
#if KVLAB_ASAN
    // Frames that never returned have left their marks.
    __asan_unpoison_memory_region(stack(i) + kGuardBytes, kStackBytes - kGuardBytes);
#endif
}

void Fibers::entry(transfer_t from) {
    Fibers& self = *static_cast<Fibers*>(from.data);
    self.host_ = from.fctx;
    after_switch(nullptr, &self.host_stack_, &self.host_stack_bytes_);
    const unsigned i = self.running_;
    // The same fiber serves thread i of every block: starting one costs more than going on.
    for (;;) {
        self.body_();
        self.yield(i);
    }
}

}  // namespace kvlab::simt
