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
    check_bytes("memory", bytes);
    const auto wanted = usize(bytes);
    const std::size_t size =
        std::max((wanted + kAlignment - 1) / kAlignment * kAlignment, kAlignment);
    const bool large = size >= 2 * kHugePage;
    const std::align_val_t alignment{large ? kHugePage : kAlignment};
    // Zeros of this size come fresh from the system, which need not fill them first.
    const bool fresh = large && fill == Fill::zeros;
    void* const block = fresh ? std::calloc(size + kHugePage, 1)
                              : ::operator new[](size, alignment, std::nothrow);
    if (block == nullptr) refuse_bytes("memory", bytes);
    auto* p = static_cast<std::byte*>(block);
    if (fresh)
        p += (kHugePage - reinterpret_cast<std::uintptr_t>(block) % kHugePage) % kHugePage;
    data_ = {p, AlignedDelete{alignment, static_cast<Index>(size), fresh ? block : nullptr}};
    count_block(static_cast<Index>(size));
#ifdef MADV_HUGEPAGE
    if (large) ::madvise(p, size / kHugePage * kHugePage, MADV_HUGEPAGE);  // a wish, no promise
#endif
    if (fill == Fill::zeros && !fresh) std::memset(p, 0, size);
}

std::shared_ptr<std::byte> MemoryPool::take(Index bytes) {
    check_bytes("memory pool", bytes);
    const SoleUse::Guard alone(use_, "memory pool");
    const auto line = static_cast<Index>(kAlignment);
    const Index needed = (bytes + line - 1) / line * line;
    if (block_ == nullptr || used_ + needed > size_) {
        // Blocks grow, so that a small model takes little and a large one few of them. Memory
        // that nobody writes to costs nothing.
        constexpr Index kFirst = Index{4} << 20, kLast = Index{64} << 20;
        const Index size = std::max(needed, std::clamp(2 * size_, kFirst, kLast));
        block_ = std::make_shared<Memory>(size, Memory::Fill::nothing);
        size_ = size;
        used_ = 0;
    }
    std::byte* piece = block_->data() + used_;
    used_ += needed;
    return {block_, piece};
}

}  // namespace kvlab
