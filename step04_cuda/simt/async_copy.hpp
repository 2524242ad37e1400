// async_copy.hpp - chapter 4: copies from global to shared memory that a thread starts, goes on
// beside, and waits for later.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include <kvlab/cuda/vector_types.hpp>

namespace kvlab::simt {

// One __pipeline_memcpy_async.
struct AsyncCopy {
    void* to = nullptr;          // shared memory
    const void* from = nullptr;  // global memory
    std::size_t bytes = 0;       // written
    std::size_t zeros = 0;       // of these, at the end: written, but not read
    const void* pc = nullptr;
    std::uint64_t group = 0;

    std::size_t read() const { return bytes - zeros; }
};

// Those that a thread has not waited for, and the number of the group that is still open.
struct AsyncCopies {
    std::vector<AsyncCopy> in_flight;
    std::uint64_t open_group = 0;

    void clear() { *this = {}; }
};

// Whose copy a word of memory takes part in.
struct WordInFlight {
    uint3 block{};
    unsigned thread = 0;
    const void* pc = nullptr;
    int copies = 0;
};

inline constexpr std::uintptr_t kCopiedWord = 4;  // bytes: no copy is smaller

// By address / kCopiedWord.
using WordsInFlight = std::unordered_map<std::uintptr_t, WordInFlight>;

}  // namespace kvlab::simt
