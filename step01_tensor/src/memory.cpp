#include <kvlab/tensor/memory.hpp>

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <new>

namespace kvlab {

namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

}  // namespace

Memory::Memory(Index bytes, Fill fill) {
    const auto wanted = static_cast<std::size_t>(bytes);
    const std::size_t size =
        std::max((wanted + kAlignment - 1) / kAlignment * kAlignment, kAlignment);
    const bool large = size >= 2 * kHugePage;
    const std::align_val_t alignment{large ? kHugePage : kAlignment};
    auto* p = static_cast<std::byte*>(::operator new[](size, alignment));
    data_ = {p, AlignedDelete{alignment}};
#ifdef MADV_HUGEPAGE
    if (large) ::madvise(p, size / kHugePage * kHugePage, MADV_HUGEPAGE);  // a wish, no promise
#endif
    if (fill == Fill::zeros) std::memset(p, 0, size);
}

}  // namespace kvlab
