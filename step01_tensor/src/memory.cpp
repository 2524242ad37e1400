#include <kvlab/tensor/memory.hpp>

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

namespace kvlab {

namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

// Blocks are large and few: counting them costs nothing.
std::atomic<Index> used{0}, most{0}, taken{0};

void count_block(Index bytes) {
    ++taken;
    const Index now = used += bytes;
    for (Index peak = most; now > peak && !most.compare_exchange_weak(peak, now);) {
    }
}

}  // namespace

MemoryUse memory_use() {
    return {used, most, taken};
}

void reset_memory_peak() {
    most = used.load();
}

void AlignedDelete::operator()(std::byte* p) const {
    used -= bytes;
    if (block != nullptr)
        std::free(block);
    else
        ::operator delete[](p, alignment);
}

Memory::Memory(Index bytes, Fill fill) {
    const auto wanted = static_cast<std::size_t>(bytes);
    const std::size_t size =
        std::max((wanted + kAlignment - 1) / kAlignment * kAlignment, kAlignment);
    const bool large = size >= 2 * kHugePage;
    const std::align_val_t alignment{large ? kHugePage : kAlignment};
    void* block = nullptr;
    if (large && fill == Fill::zeros) {
        // Of this size they come fresh from the system, which need not fill them first.
        block = std::calloc(size + kHugePage, 1);
        if (block == nullptr) throw std::bad_alloc();
    }
    const auto begin = reinterpret_cast<std::uintptr_t>(block);
    auto* p = block == nullptr ? static_cast<std::byte*>(::operator new[](size, alignment))
                               : static_cast<std::byte*>(block) +
                                     (kHugePage - begin % kHugePage) % kHugePage;
    data_ = {p, AlignedDelete{alignment, static_cast<Index>(size), block}};
    count_block(static_cast<Index>(size));
#ifdef MADV_HUGEPAGE
    if (large) ::madvise(p, size / kHugePage * kHugePage, MADV_HUGEPAGE);  // a wish, no promise
#endif
    if (fill == Fill::zeros && block == nullptr) std::memset(p, 0, size);
}

std::shared_ptr<std::byte> MemoryPool::take(Index bytes) {
    const auto line = static_cast<Index>(kAlignment);
    const Index needed = (bytes + line - 1) / line * line;
    if (block_ == nullptr || used_ + needed > size_) {
        // Blocks grow, so that a small model takes little and a large one few of them. Memory
        // that nobody writes to costs nothing.
        constexpr Index kFirst = Index{4} << 20, kLast = Index{64} << 20;
        size_ = std::max(needed, std::clamp(2 * size_, kFirst, kLast));
        block_ = std::make_shared<Memory>(size_, Memory::Fill::nothing);
        used_ = 0;
    }
    std::byte* piece = block_->data() + used_;
    used_ += needed;
    return {block_, piece};
}

}  // namespace kvlab
