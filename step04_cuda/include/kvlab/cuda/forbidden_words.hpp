// forbidden_words.hpp - chapter 4: CUDA's functions that the numeric contract does not know,
// since their bits are those of one kind of processor. A kernel that calls one does not compile
// for the CPU, and the compiler says what to write instead. (Where a call hides from this, as
// std::exp does, tests/tools/ptx_check.py finds the instruction.)
//
// They stand in the kernels' namespace, where they are found before the library's functions;
// host code is not concerned.
#pragma once

#include <type_traits>

#include <kvlab/cuda/device_calls.hpp>
#include <kvlab/cuda/kernel_variant.hpp>

namespace kvlab::KVLAB_KERNELS {

// Depends on the arguments, so that the compiler speaks of calls alone.
template <class... T>
inline constexpr bool kNever = sizeof...(T) > 99;

// NOLINTBEGIN(bugprone-macro-parentheses): a declared name takes none
#define KVLAB_FORBIDDEN(word, why)                                          \
    template <class... T>                                                   \
    KVLAB_INLINE float word(T...) {                                         \
        static_assert(kNever<T...>, "kernels do not call " #word ": " why); \
        return 0.0f;                                                        \
    }
// NOLINTEND(bugprone-macro-parentheses)

#define KVLAB_EXP "a GPU approximates it; exp2_exact() of contract.cuh is exact"
KVLAB_FORBIDDEN(__expf, KVLAB_EXP)
KVLAB_FORBIDDEN(__exp10f, KVLAB_EXP)
KVLAB_FORBIDDEN(exp, KVLAB_EXP)
KVLAB_FORBIDDEN(expf, KVLAB_EXP)
KVLAB_FORBIDDEN(exp2, KVLAB_EXP)
KVLAB_FORBIDDEN(exp2f, KVLAB_EXP)
KVLAB_FORBIDDEN(exp10f, KVLAB_EXP)
KVLAB_FORBIDDEN(expm1f, KVLAB_EXP)
#undef KVLAB_EXP

#define KVLAB_TANH "a GPU approximates it; silu() and gelu() of contract.cuh need none"
KVLAB_FORBIDDEN(__tanhf, KVLAB_TANH)
KVLAB_FORBIDDEN(tanh, KVLAB_TANH)
KVLAB_FORBIDDEN(tanhf, KVLAB_TANH)
KVLAB_FORBIDDEN(erff, KVLAB_TANH)
#undef KVLAB_TANH

#define KVLAB_TABLE "a GPU approximates it; let the host make a table, as it does for RoPE"
KVLAB_FORBIDDEN(__sinf, KVLAB_TABLE)
KVLAB_FORBIDDEN(__cosf, KVLAB_TABLE)
KVLAB_FORBIDDEN(__tanf, KVLAB_TABLE)
KVLAB_FORBIDDEN(__sincosf, KVLAB_TABLE)
KVLAB_FORBIDDEN(sin, KVLAB_TABLE)
KVLAB_FORBIDDEN(sinf, KVLAB_TABLE)
KVLAB_FORBIDDEN(cos, KVLAB_TABLE)
KVLAB_FORBIDDEN(cosf, KVLAB_TABLE)
KVLAB_FORBIDDEN(tanf, KVLAB_TABLE)
KVLAB_FORBIDDEN(sincosf, KVLAB_TABLE)
KVLAB_FORBIDDEN(__logf, KVLAB_TABLE)
KVLAB_FORBIDDEN(__log2f, KVLAB_TABLE)
KVLAB_FORBIDDEN(__log10f, KVLAB_TABLE)
KVLAB_FORBIDDEN(log, KVLAB_TABLE)
KVLAB_FORBIDDEN(logf, KVLAB_TABLE)
KVLAB_FORBIDDEN(log2f, KVLAB_TABLE)
KVLAB_FORBIDDEN(log10f, KVLAB_TABLE)
KVLAB_FORBIDDEN(log1pf, KVLAB_TABLE)
KVLAB_FORBIDDEN(__powf, KVLAB_TABLE)
KVLAB_FORBIDDEN(pow, KVLAB_TABLE)
KVLAB_FORBIDDEN(powf, KVLAB_TABLE)
KVLAB_FORBIDDEN(cbrtf, KVLAB_TABLE)
#undef KVLAB_TABLE

#define KVLAB_DIVIDE "a GPU approximates it; a / b and 1.0f / sqrtf(x) are rounded once each"
KVLAB_FORBIDDEN(__fdividef, KVLAB_DIVIDE)
KVLAB_FORBIDDEN(fdividef, KVLAB_DIVIDE)
KVLAB_FORBIDDEN(__frsqrt_rn, KVLAB_DIVIDE)
KVLAB_FORBIDDEN(rsqrt, KVLAB_DIVIDE)
KVLAB_FORBIDDEN(rsqrtf, KVLAB_DIVIDE)
KVLAB_FORBIDDEN(rcbrtf, KVLAB_DIVIDE)
KVLAB_FORBIDDEN(hypotf, KVLAB_DIVIDE)
#undef KVLAB_DIVIDE

// Which of +0 and -0 it takes differs between processors.
#define KVLAB_ORDERED "zeros of two signs, and NaN, have no agreed result; write a > b ? a : b"
KVLAB_FORBIDDEN(fmaxf, KVLAB_ORDERED)
KVLAB_FORBIDDEN(fminf, KVLAB_ORDERED)
KVLAB_FORBIDDEN(fmax, KVLAB_ORDERED)
KVLAB_FORBIDDEN(fmin, KVLAB_ORDERED)
#undef KVLAB_ORDERED

#define KVLAB_ACTIVE "which lanes it names is chance; pass the mask that you mean"
KVLAB_FORBIDDEN(__activemask, KVLAB_ACTIVE)
#undef KVLAB_ACTIVE
#undef KVLAB_FORBIDDEN

}  // namespace kvlab::KVLAB_KERNELS

// CUDA's min and max take floats, too; without these, ours would make integers of them.
#define KVLAB_OF_FLOATS(word)                                                                 \
    template <class A, class B>                                                               \
    requires(std::is_floating_point_v<A> || std::is_floating_point_v<B>) KVLAB_INLINE A word( \
        A a, B) {                                                                             \
        static_assert(sizeof(A) > 99, "kernels do not call " #word                            \
                                      " of floats: zeros of two "                             \
                                      "signs, and NaN, have no agreed result; write the "     \
                                      "comparison with ? :");                                 \
        return a;                                                                             \
    }
KVLAB_OF_FLOATS(min)
KVLAB_OF_FLOATS(max)
#undef KVLAB_OF_FLOATS
