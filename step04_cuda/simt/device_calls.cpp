// device_calls.cpp - chapter 4: what CUDA's words do when a CPU runs them.
#include <kvlab/cuda/device_calls.hpp>

#include <type_traits>

#include "machine.hpp"

namespace kvlab::simt {

namespace {

// An atomic operation is judged like an access. Only one thread of a launch runs at a time, so
// nothing more is needed to make it one step.
template <class T>
void note_atomic(T* address, const void* pc) {
    Machine& machine = Machine::instance();
    if (machine.checking)
        machine.access(reinterpret_cast<std::uintptr_t>(address), sizeof(T), Access::atomic,
                       pc);
}

// Those that only integers have.
template <class T>
T bits_after(AtomicCall call, T before, T value) {
    switch (call) {
        case AtomicCall::bit_and:
            return before & value;
        case AtomicCall::bit_or:
            return before | value;
        case AtomicCall::bit_xor:
            return before ^ value;
        case AtomicCall::increment:  // from 0 to `value`, and round again
            return before >= value ? T{0} : before + 1;
        case AtomicCall::decrement:  // from `value` to 0, and round again
            return before == 0 || before > value ? value : before - 1;
        default:
            return before;
    }
}

template <class T>
T after_update(AtomicCall call, T before, T value, T expected) {
    // Integers wrap around.
    using Sum = std::conditional_t<std::is_same_v<T, int>, unsigned, T>;
    switch (call) {
        case AtomicCall::add:
            return static_cast<T>(static_cast<Sum>(before) + static_cast<Sum>(value));
        case AtomicCall::subtract:
            return static_cast<T>(static_cast<Sum>(before) - static_cast<Sum>(value));
        case AtomicCall::exchange:
            return value;
        case AtomicCall::min:
            return before < value ? before : value;
        case AtomicCall::max:
            return before > value ? before : value;
        case AtomicCall::compare_and_swap:
            return before == expected ? value : before;
        default:
            if constexpr (std::is_integral_v<T>) return bits_after(call, before, value);
            return before;
    }
}

}  // namespace

uint3 thread_index() {
    return Machine::instance().thread().index;
}

uint3 block_index() {
    return Machine::instance().block;
}

dim3 block_size() {
    return Machine::instance().shape.block;
}

dim3 grid_size() {
    return Machine::instance().shape.grid;
}

void* dynamic_shared() {
    return Machine::instance().dynamic_shared;
}

unsigned barrier(bool yes) {
    return Machine::instance().barrier(yes, __builtin_return_address(0));
}

void grid_barrier() {
    Machine::instance().grid_barrier(__builtin_return_address(0));
}

void async_copy(void* to, const void* from, std::size_t bytes, std::size_t zeros) {
    Machine::instance().async_copy({to, from, bytes, zeros, __builtin_return_address(0)});
}

void async_commit() {
    Machine::instance().async_commit();
}

void async_wait(std::size_t groups) {
    Machine::instance().async_wait(groups, __builtin_return_address(0));
}

std::uint64_t warp_call(
    WarpCall call, unsigned mask, std::uint64_t bits, int operand, int width) {
    return Machine::instance().warp_call(call, mask, bits, operand, width,
                                         __builtin_return_address(0));
}

template <class T>
T atomic_update(AtomicCall call, T* address, T value, T expected) {
    note_atomic(address, __builtin_return_address(0));
    const T before = *address;
    *address = after_update(call, before, value, expected);
    return before;
}

template int atomic_update(AtomicCall, int*, int, int);
template unsigned atomic_update(AtomicCall, unsigned*, unsigned, unsigned);
template unsigned long long atomic_update(AtomicCall,
                                          unsigned long long*,
                                          unsigned long long,
                                          unsigned long long);
template float atomic_update(AtomicCall, float*, float, float);

void stop_at_open_task(const char* task) {
    Machine::instance().stop_at_open_task(task);
}

void count_fma() {
    ++Machine::instance().counters.fma;
}

void count_add() {
    ++Machine::instance().counters.add;
}

void count_mul() {
    ++Machine::instance().counters.mul;
}

}  // namespace kvlab::simt
