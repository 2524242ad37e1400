// hooks.cpp - chapter 4: our own definitions of what -fsanitize=thread makes a compiler call.
//
// A checked kernel file is compiled with that flag, but not linked with the thread sanitizer.
// Before every access to memory it calls __tsan_read4(address) and so on; the return address
// tells which access of the source it was. Inline functions of the standard library that were
// compiled into a checked file may be used by host code as well: hooks do nothing unless a
// checked kernel runs.
#include "machine.hpp"

#if KVLAB_SIMT_CHECKED  // otherwise the thread sanitizer is there, with its own

namespace {

using kvlab::simt::Access;
using kvlab::simt::Machine;

void note_access(const void* address, std::size_t bytes, Access kind, const void* pc) {
    Machine& machine = Machine::instance();
    if (machine.checking)
        machine.access(reinterpret_cast<std::uintptr_t>(address), bytes, kind, pc);
}

}  // namespace

#define KVLAB_HOOK(name, bytes, kind)                                           \
    void name(void* address) {                                                  \
        note_access(address, bytes, Access::kind, __builtin_return_address(0)); \
    }
#define KVLAB_HOOKS(bytes)                                  \
    KVLAB_HOOK(__tsan_read##bytes, bytes, read)             \
    KVLAB_HOOK(__tsan_write##bytes, bytes, write)           \
    KVLAB_HOOK(__tsan_unaligned_read##bytes, bytes, read)   \
    KVLAB_HOOK(__tsan_unaligned_write##bytes, bytes, write) \
    KVLAB_HOOK(__tsan_volatile_read##bytes, bytes, read)    \
    KVLAB_HOOK(__tsan_volatile_write##bytes, bytes, write)

extern "C" {

KVLAB_HOOKS(1)
KVLAB_HOOKS(2)
KVLAB_HOOKS(4)
KVLAB_HOOKS(8)
KVLAB_HOOKS(16)

void __tsan_read_range(void* address, std::size_t bytes) {
    note_access(address, bytes, Access::read, __builtin_return_address(0));
}

void __tsan_write_range(void* address, std::size_t bytes) {
    note_access(address, bytes, Access::write, __builtin_return_address(0));
}

// Newer versions of clang copy whole structures this way.
void* __tsan_memcpy(void* to, const void* from, std::size_t bytes) {
    note_access(from, bytes, Access::read, __builtin_return_address(0));
    note_access(to, bytes, Access::write, __builtin_return_address(0));
    return __builtin_memcpy(to, from, bytes);
}

void* __tsan_memset(void* to, int value, std::size_t bytes) {
    note_access(to, bytes, Access::write, __builtin_return_address(0));
    return __builtin_memset(to, value, bytes);
}

void __tsan_func_entry(void* return_address) {
    Machine& machine = Machine::instance();
    if (machine.checking) machine.enter_function(return_address);
}

void __tsan_func_exit() {
    Machine& machine = Machine::instance();
    if (machine.checking) machine.leave_function();
}

void __tsan_init() {}

void __tsan_vptr_update(void**, void*) {}

void __tsan_vptr_read(void**) {}

}  // extern "C"

#endif

namespace kvlab::simt {

void Machine::enter_function(const void* pc) {
    Thread& self = thread();
    // FNV-1a's step: the same function called from two places is two paths.
    const std::uint64_t path =
        (self.path() ^ reinterpret_cast<std::uintptr_t>(pc)) * 1099511628211ull;
    self.calls.push_back(pc);
    self.paths.push_back(path);
}

void Machine::leave_function() {
    Thread& self = thread();
    if (self.calls.empty()) return;
    self.calls.pop_back();
    self.paths.pop_back();
}

}  // namespace kvlab::simt
