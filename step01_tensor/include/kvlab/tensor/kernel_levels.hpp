// kernel_levels.hpp - chapter 1: from a SIMD level to the kernels that were compiled for it.
//
// A *.simd.cpp is compiled once per level (simd.hpp) and defines, in the namespace of that
// name, one table of functions: portable::kTensorKernels, avx2::kTensorKernels ... Which levels
// there are, the build says: KVLAB_HAS_avx2.
#pragma once

#include <kvlab/tensor/error.hpp>
#include <kvlab/tensor/simd_level.hpp>

#ifdef KVLAB_HAS_avx2
#define KVLAB_WHERE_AVX2(...) __VA_ARGS__
#else
#define KVLAB_WHERE_AVX2(...)
#endif

#ifdef KVLAB_HAS_avx512
#define KVLAB_WHERE_AVX512(...) __VA_ARGS__
#else
#define KVLAB_WHERE_AVX512(...)
#endif

// Defines `const Table& function(SimdLevel level)`, inside of namespace kvlab. It throws Error
// when the level is not built in or not supported here.
#define KVLAB_KERNELS_OF_LEVEL(Table, function, constant)                            \
    namespace portable {                                                             \
    extern const Table constant;                                                     \
    }                                                                                \
    namespace avx2 {                                                                 \
    extern const Table constant;                                                     \
    }                                                                                \
    namespace avx512 {                                                               \
    extern const Table constant;                                                     \
    }                                                                                \
    const Table& function(SimdLevel level) {                                         \
        check_simd_level(level);                                                     \
        KVLAB_WHERE_AVX512(if (level == SimdLevel::avx512) return avx512::constant;) \
        KVLAB_WHERE_AVX2(if (level == SimdLevel::avx2) return avx2::constant;)       \
        return portable::constant;                                                   \
    }
