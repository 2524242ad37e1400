// atomic_words.hpp - chapter 4: CUDA's atomic functions on a CPU. All return what stood there
// before the call.
//
// In which order threads come to an atomic is nobody's choice. A sum of integers does not mind;
// a sum of floats rounds differently in every order, so a float atomicAdd is refused, unless a
// file says that it demonstrates just that: #define KVLAB_FLOAT_ATOMICS 1 before kernel.hpp.
#pragma once

#include <type_traits>

#include <kvlab/cuda/device_calls.hpp>

#ifndef KVLAB_FLOAT_ATOMICS
#define KVLAB_FLOAT_ATOMICS 0
#endif

namespace kvlab::simt {

template <class T, class... Allowed>
inline constexpr bool kIsOneOf = (std::is_same_v<T, Allowed> || ...);

}  // namespace kvlab::simt

// The second parameter takes whatever converts, as CUDA's overloads do.
#define KVLAB_ATOMIC(word, call, ...)                                                        \
    template <class T>                                                                       \
    KVLAB_INLINE T word(T* address, std::type_identity_t<T> value) {                         \
        static_assert(::kvlab::simt::kIsOneOf<T, __VA_ARGS__>, #word ": for " #__VA_ARGS__); \
        return ::kvlab::simt::atomic_update(::kvlab::simt::AtomicCall::call, address, value, \
                                            T{});                                            \
    }

KVLAB_ATOMIC(atomicSub, subtract, int, unsigned)
KVLAB_ATOMIC(atomicExch, exchange, int, unsigned, unsigned long long, float)
KVLAB_ATOMIC(atomicMin, min, int, unsigned, unsigned long long)
KVLAB_ATOMIC(atomicMax, max, int, unsigned, unsigned long long)
KVLAB_ATOMIC(atomicAnd, bit_and, int, unsigned, unsigned long long)
KVLAB_ATOMIC(atomicOr, bit_or, int, unsigned, unsigned long long)
KVLAB_ATOMIC(atomicXor, bit_xor, int, unsigned, unsigned long long)
KVLAB_ATOMIC(atomicInc, increment, unsigned)
KVLAB_ATOMIC(atomicDec, decrement, unsigned)
#undef KVLAB_ATOMIC

template <class T>
KVLAB_INLINE T atomicAdd(T* address, std::type_identity_t<T> value) {
    using namespace ::kvlab::simt;
    static_assert(kIsOneOf<T, int, unsigned, unsigned long long, float>,
                  "atomicAdd: for int, unsigned, unsigned long long");
    static_assert(!std::is_same_v<T, float> || KVLAB_FLOAT_ATOMICS,
                  "atomicAdd of a float: its sum depends on the order in which threads come; "
                  "add blocks in order, as combine_parts does");
    return atomic_update(AtomicCall::add, address, value, T{});
}

// Writes `value` if `expected` is there.
template <class T>
KVLAB_INLINE T atomicCAS(T* address,
                         std::type_identity_t<T> expected,
                         std::type_identity_t<T> value) {
    using namespace ::kvlab::simt;
    static_assert(kIsOneOf<T, int, unsigned, unsigned long long>,
                  "atomicCAS: for int, unsigned, unsigned long long");
    return atomic_update(AtomicCall::compare_and_swap, address, value, expected);
}
