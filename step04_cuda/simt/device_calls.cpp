// device_calls.cpp - chapter 4: what CUDA's words do when a CPU runs them.
#include <kvlab/cuda/device_calls.hpp>

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

void barrier() {
    Machine::instance().barrier(__builtin_return_address(0));
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
T atomic_add(T* address, T value) {
    note_atomic(address, __builtin_return_address(0));
    const T before = *address;
    *address = before + value;
    return before;
}

template <class T>
T atomic_max(T* address, T value) {
    note_atomic(address, __builtin_return_address(0));
    const T before = *address;
    *address = before > value ? before : value;
    return before;
}

template int atomic_add(int*, int);
template unsigned atomic_add(unsigned*, unsigned);
template unsigned long long atomic_add(unsigned long long*, unsigned long long);
template float atomic_add(float*, float);
template int atomic_max(int*, int);
template unsigned atomic_max(unsigned*, unsigned);

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
