// device_calls.hpp - chapter 4: what CUDA's words call when a CPU runs them. Kernels use the
// words (kernel.hpp), never these.
#pragma once

#include <cstddef>
#include <cstdint>

#include <kvlab/cuda/vector_types.hpp>

namespace kvlab::simt {

// Fixed while a kernel's thread runs, so the compiler may ask once ("const").
uint3 thread_index() __attribute__((const));
uint3 block_index() __attribute__((const));
dim3 block_size() __attribute__((const));
dim3 grid_size() __attribute__((const));
void* dynamic_shared() __attribute__((const));

// How many threads of the block said yes.
unsigned barrier(bool yes);
void grid_barrier();

void async_copy(void* to, const void* from, std::size_t bytes, std::size_t zeros);
void async_commit();
void async_wait(std::size_t groups);  // until no more than so many groups are in flight

enum class WarpCall : std::uint8_t {
    sync,
    ballot,
    shuffle,
    shuffle_xor,
    shuffle_down,
    shuffle_up
};

// Waits for the lanes of `mask`; the bits of the source lane's value, or the ballot.
std::uint64_t warp_call(
    WarpCall call, unsigned mask, std::uint64_t bits, int operand, int width);

template <class T>
KVLAB_INLINE T shuffle(WarpCall call, unsigned mask, T value, int operand, int width) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "a shuffle moves 4 or 8 bytes");
    if constexpr (sizeof(T) == 4) {
        const auto bits = __builtin_bit_cast(std::uint32_t, value);
        const auto got =
            static_cast<std::uint32_t>(warp_call(call, mask, bits, operand, width));
        return __builtin_bit_cast(T, got);
    } else {
        const auto bits = __builtin_bit_cast(std::uint64_t, value);
        return __builtin_bit_cast(T, warp_call(call, mask, bits, operand, width));
    }
}

enum class AtomicCall : std::uint8_t {
    add,
    subtract,
    exchange,
    min,
    max,
    bit_and,
    bit_or,
    bit_xor,
    increment,
    decrement,
    compare_and_swap
};

// Returns what stood there. For int, unsigned, unsigned long long and float; compare_and_swap
// alone looks at `expected`.
template <class T>
T atomic_update(AtomicCall call, T* address, T value, T expected);

// The launch ends, and throws NotImplemented. `task` is a literal: it outlives the thread.
[[noreturn]] void stop_at_open_task(const char* task);

void count_fma();
void count_add();
void count_mul();

}  // namespace kvlab::simt
