// compiler.hpp - chapter 1: refuses compilers and flags under which a float is not what the
// contract says. Every public header includes it, so a program that uses kvlab is asked, too.
//
// What no macro shows (-ffp-contract=fast, some flags of
// clang) cmake/KvlabPlatform.cmake finds.
#pragma once

#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__ != 0) || \
    defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__) ||                          \
    defined(__NO_SIGNED_ZEROS__)
#error "kvlab: -ffast-math, -Ofast and their parts change results; compile without them"
#endif

#if defined(__FLT_EVAL_METHOD__) && __FLT_EVAL_METHOD__ != 0
#error "kvlab: a float must be computed as a float, not wider; on x86 use -mfpmath=sse"
#endif

#if defined(__SIZEOF_POINTER__) && __SIZEOF_POINTER__ != 8
#error "kvlab: needs a 64-bit target"
#endif

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "kvlab: needs a little-endian target, since model files are used as they are"
#endif
