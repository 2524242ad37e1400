// sizes.hpp - chapter 1: sizes that are computed from a caller's numbers. A product that wraps
// around is a block of memory that ends too early, so every such size is computed here.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <limits>
#include <new>
#include <span>
#include <stdexcept>
#include <vector>

#include <kvlab/tensor/error.hpp>

namespace kvlab {

// Every size and index: signed, so that S - T is what it looks like, and 64 bits wide.
using Index = std::ptrdiff_t;

// Containers of the standard library count in std::size_t, and everything here in Index. So
// that no line is full of casts: list[i], which has to be inside of it; the n things from
// `first` on; and a size, n >= 0, as the library takes it.
template <class List>
constexpr decltype(auto) at(List&& list, Index i) {
    return list[static_cast<std::size_t>(i)];
}

constexpr std::size_t usize(Index n) {
    return static_cast<std::size_t>(n);
}

template <class T>
constexpr std::span<T> span_of(T* first, Index n) {
    return {first, usize(n)};
}

// More than any process can address; who asks for more has not meant it.
inline constexpr Index kMostBytes = Index{1} << 47;

// The product of the factors, 1 for none. Throws Error "<what>: 3 x -1: a size must not be
// negative" or "... does not fit in 64 bits".
Index checked_product(const char* what, std::initializer_list<Index> factors);

// The same for a sum.
Index checked_sum(const char* what, std::initializer_list<Index> terms);

// How many blocks of `size` hold n things, n >= 0: n / size, rounded up. Cannot overflow, as
// (n + size - 1) / size does.
constexpr Index blocks_for(Index n, Index size) {
    return n / size + (n % size != 0 ? 1 : 0);
}

// Throws Error "<what>: expected memory of 0 to 2^47 bytes, found <bytes>" for other sizes.
void check_bytes(const char* what, Index bytes);

// Throws Error "<what>: this machine has no room for <bytes> bytes".
[[noreturn]] void refuse_bytes(const char* what, Index bytes);

// list.resize(n) for a list as long as a caller says: where there is no room, refuse_bytes()
// instead of std::bad_alloc.
template <class T>
void resize_list(std::vector<T>& list, Index n, const char* what) {
    const Index bytes = checked_product(what, {n, Index{sizeof(T)}});
    check_bytes(what, bytes);
    try {
        list.resize(static_cast<std::size_t>(n));
    } catch (const std::bad_alloc&) {
        refuse_bytes(what, bytes);
    }
}

}  // namespace kvlab
