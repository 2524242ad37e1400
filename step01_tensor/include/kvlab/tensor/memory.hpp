// memory.hpp - chapter 1: a block of memory for numbers, 64-byte aligned.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

#include <kvlab/tensor/compiler.hpp>
#include <kvlab/tensor/sizes.hpp>
#include <kvlab/tensor/sole_use.hpp>

namespace kvlab {

inline constexpr std::size_t kAlignment = 64;  // bytes: one cache line, one AVX-512 register

// Memory has to be given back in the way in which it was asked for.
struct AlignedDelete {
    std::align_val_t alignment{kAlignment};
    Index bytes = 0;
    void* block = nullptr;  // from calloc, and our bytes inside it; null: from new

    void operator()(std::byte* p) const;
};

// All the Memory of this program: weights, caches and activations are made of nothing else.
struct MemoryUse {
    Index bytes = 0;   // now
    Index peak = 0;    // the most since the start, or since reset_memory_peak()
    Index blocks = 0;  // that were ever taken
};

MemoryUse memory_use();
void reset_memory_peak();

// Owns bytes, rounded up to whole cache lines so that a kernel may read the last line to its
// end. Large blocks ask the system for pages of 2 MB: a stream of weights then needs 512 times
// fewer entries of the processor's table of pages. Zeros of a large block are the system's own:
// pages that nobody writes to, as of a cache for a context that no text reaches, take no room.
class Memory {
public:
    enum class Fill { zeros, nothing };

    Memory() = default;
    // Throws Error for a negative size, and for one that this machine has no room for.
    Memory(Index bytes, Fill fill);

    std::byte* data() { return data_.get(); }

    const std::byte* data() const { return data_.get(); }

    explicit operator bool() const { return data_ != nullptr; }

private:
    std::unique_ptr<std::byte[], AlignedDelete> data_;
};

// Hands out pieces of large blocks, one after the other. Weights that are taken in the order
// in which a token reads them are one stream for the processor, which then fetches the
// beginning of the next matrix while the last one ends. A block lives as long as any of its
// pieces. One thread at a time may take; a second one gets an Error.
class MemoryPool {
public:
    // `bytes`, 64-byte aligned, whatever they contain. Throws Error as Memory does.
    std::shared_ptr<std::byte> take(Index bytes);

private:
    std::shared_ptr<Memory> block_;
    Index size_ = 0, used_ = 0;
    SoleUse use_;
};

}  // namespace kvlab
