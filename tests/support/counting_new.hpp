// counting_new.hpp - replaces operator new by one that counts. For one source of a program.
#pragma once

#include <atomic>
#include <cstdlib>
#include <new>

#include <kvlab/tensor/memory.hpp>

namespace {

std::atomic<long> allocations{0};

void* counted_or_null(std::size_t size, std::size_t alignment) noexcept {
    ++allocations;
    return std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

void* counted(std::size_t size, std::size_t alignment) {
    void* p = counted_or_null(size, alignment);
    if (p == nullptr) throw std::bad_alloc();
    return p;
}

// Everything that was ever taken. The blocks of Memory count once more, since large ones come
// from the system, past operator new.
[[maybe_unused]] long taken() {
    return allocations + static_cast<long>(kvlab::memory_use().blocks);
}

}  // namespace

void* operator new(std::size_t size) {
    return counted(size, 16);
}

void* operator new[](std::size_t size) {
    return counted(size, 16);
}

// std::stable_sort asks in this way.
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
    return counted_or_null(size, 16);
}

void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
    return counted_or_null(size, 16);
}

void* operator new(std::size_t size, std::align_val_t a) {
    return counted(size, static_cast<std::size_t>(a));
}

void* operator new[](std::size_t size, std::align_val_t a) {
    return counted(size, static_cast<std::size_t>(a));
}

void* operator new(std::size_t size, std::align_val_t a, const std::nothrow_t&) noexcept {
    return counted_or_null(size, static_cast<std::size_t>(a));
}

// Memory asks in this way.
void* operator new[](std::size_t size, std::align_val_t a, const std::nothrow_t&) noexcept {
    return counted_or_null(size, static_cast<std::size_t>(a));
}

void operator delete(void* p) noexcept {
    std::free(p);
}

void operator delete[](void* p) noexcept {
    std::free(p);
}

void operator delete(void* p, std::size_t) noexcept {
    std::free(p);
}

void operator delete[](void* p, std::size_t) noexcept {
    std::free(p);
}

void operator delete(void* p, std::align_val_t) noexcept {
    std::free(p);
}

void operator delete[](void* p, std::align_val_t) noexcept {
    std::free(p);
}

void operator delete(void* p, std::size_t, std::align_val_t) noexcept {
    std::free(p);
}

void operator delete[](void* p, std::size_t, std::align_val_t) noexcept {
    std::free(p);
}
