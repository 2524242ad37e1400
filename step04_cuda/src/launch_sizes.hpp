// launch_sizes.hpp - chapter 4: from Index to what a launch takes, checked.
#pragma once

#include <limits>

#include <kvlab/tensor/tensor.hpp>

namespace kvlab {

// Kernels count in 32 bits. Throws Error for a size or a stride that does not fit.
inline int to_int(Index size) {
    check(size >= 0 && size <= std::numeric_limits<int>::max(), "cuda: ", size,
          " does not fit in 32 bits");
    return static_cast<int>(size);
}

// How many groups of `each` hold `count`.
inline unsigned groups(Index count, Index each) {
    return static_cast<unsigned>(to_int((count + each - 1) / each));
}

// Throws Error unless the last axis is contiguous.
template <class T>
void check_rows(const View<T>& view, const char* what) {
    check(view.stride(view.rank() - 1) == 1, what, ": rows must be contiguous");
}

}  // namespace kvlab
