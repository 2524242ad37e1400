// arena.cpp - chapter 4: device memory behind the operating system's page protection.
#include "arena.hpp"

#include <sys/mman.h>
#include <unistd.h>
#include <kvlab/cuda/simt.hpp>

#include <csignal>
#include <cstdlib>
#include <memory>

#include "memory_map.hpp"

namespace kvlab::simt {

namespace {

// Addresses alone: nothing is taken of the memory before it is written to.
constexpr std::size_t kRange = std::size_t{64} << 30;

struct sigaction handler_before {};

std::unique_ptr<Arena>& only_arena() {
    static std::unique_ptr<Arena> arena;
    return arena;
}

// Says why, and leaves the rest to the handler from before: the access runs again, and fails
// again. Only what is allowed in a signal handler is called.
void explain_fault(int, siginfo_t* info, void*) {
    static const char text[] =
        "host code touches device memory: on a GPU it cannot. Copy it to the host first.\n";
    if (Arena::instance()->holds(info->si_addr)) {
        const auto ignored = write(STDERR_FILENO, text, sizeof text - 1);
        static_cast<void>(ignored);
    }
    sigaction(SIGSEGV, &handler_before, nullptr);
}

}  // namespace

Arena::Arena() : page_(static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE))) {
    void* range =
        mmap(nullptr, kRange, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    check(range != MAP_FAILED, "guarded device memory: no room for ", kRange, " addresses");
    // Large pages, if there are any: fewer of them to open and close. Nothing depends on it.
    madvise(range, kRange, MADV_HUGEPAGE);
    begin_ = top_ = reinterpret_cast<std::uintptr_t>(range);
    end_ = begin_ + kRange;
}

Arena* Arena::instance() {
    return only_arena().get();
}

Arena& Arena::make() {
    if (only_arena() == nullptr) only_arena().reset(new Arena);
    return *only_arena();
}

void Arena::guard() {
    top_ = begin_;
    guards_ = true;
    close();
}

void Arena::unguard() {
    guards_ = false;
    open();
}

void* Arena::take(std::size_t bytes) {
    const std::size_t pages = (bytes + page_ - 1) / page_ * page_;
    const std::size_t gap = (kGap + page_ - 1) / page_ * page_;
    if (bytes > end_ - top_ || gap + pages + gap > end_ - top_) return nullptr;
    void* memory = reinterpret_cast<void*>(top_ + gap);
    top_ += gap + pages + gap;
    return memory;
}

void Arena::give_back(void* memory, std::size_t bytes) {
    madvise(memory, (bytes + page_ - 1) / page_ * page_, MADV_DONTNEED);
}

bool Arena::holds(const void* address) const {
    const auto number = reinterpret_cast<std::uintptr_t>(address);
    return number >= begin_ && number < end_;
}

void Arena::open() {
    if (opened_++ == 0) protect(PROT_READ | PROT_WRITE);
}

void Arena::close() {
    if (--opened_ == 0) protect(PROT_NONE);
}

// One call for all of it, however many allocations there are.
void Arena::protect(int protection) {
    if (top_ == begin_) return;
    if (mprotect(reinterpret_cast<void*>(begin_), top_ - begin_, protection) != 0) {
        static const char text[] = "guarded device memory: mprotect failed\n";
        const auto ignored = write(STDERR_FILENO, text, sizeof text - 1);
        static_cast<void>(ignored);
        std::abort();  // a destructor may be the caller, so nothing can be thrown
    }
}

GuardDeviceMemory::GuardDeviceMemory() {
    check(!MemoryMap::instance().has_allocations(),
          "device memory has been allocated already: guard it before");
    Arena& arena = Arena::make();
    check(!arena.guards(), "device memory is guarded already");

    struct sigaction explain {};

    explain.sa_sigaction = explain_fault;
    explain.sa_flags = SA_SIGINFO;
    check(sigaction(SIGSEGV, &explain, &handler_before) == 0, "SIGSEGV: no handler");
    arena.guard();
}

GuardDeviceMemory::~GuardDeviceMemory() {
    Arena::instance()->unguard();
    sigaction(SIGSEGV, &handler_before, nullptr);
}

}  // namespace kvlab::simt
