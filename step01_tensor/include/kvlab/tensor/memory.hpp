// memory.hpp - chapter 1: a block of memory for numbers, 64-byte aligned.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

namespace kvlab {

using Index = std::ptrdiff_t;

inline constexpr std::size_t kAlignment = 64;  // bytes: one cache line, one AVX-512 register

// Memory has to be given back with the alignment that it was asked for with.
struct AlignedDelete {
    std::align_val_t alignment{kAlignment};

    void operator()(std::byte* p) const { ::operator delete[](p, alignment); }
};

// Owns bytes, rounded up to whole cache lines so that a kernel may read the last line to its
// end. Large blocks ask the system for pages of 2 MB: a stream of weights then needs 512 times
// fewer entries of the processor's table of pages.
class Memory {
public:
    enum class Fill { zeros, nothing };

    Memory() = default;
    Memory(Index bytes, Fill fill);

    std::byte* data() { return data_.get(); }

    const std::byte* data() const { return data_.get(); }

    explicit operator bool() const { return data_ != nullptr; }

private:
    std::unique_ptr<std::byte[], AlignedDelete> data_;
};

}  // namespace kvlab
