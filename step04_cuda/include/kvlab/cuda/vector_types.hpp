// vector_types.hpp - chapter 4: dim3, float4 and their like: CUDA's own, or the same on a CPU.
//
// There are two worlds, and one program may hold both. What nvcc compiles takes CUDA's words.
// All else, host code too, takes those of this file: no CUDA header is ever needed there. The
// two never meet in one signature (launch.hpp says how).
#pragma once

#include <kvlab/tensor/compiler.hpp>

#ifdef __CUDACC__
#include <cuda_runtime.h>
#else

#include <cstdint>

// Inlined even without optimisation: a call would hide the line of the kernel that made it.
#define KVLAB_INLINE inline __attribute__((always_inline))

struct uint3 {  // NOLINT(readability-identifier-naming): CUDA's names
    unsigned x, y, z;
};

struct float3 {  // NOLINT(readability-identifier-naming)
    float x, y, z;
};

struct int3 {  // NOLINT(readability-identifier-naming)
    int x, y, z;
};

struct dim3 {  // NOLINT(readability-identifier-naming)
    unsigned x, y, z;

    // Not explicit, as in CUDA: launch(kernel, 4, 128, ...) means one-dimensional ones.
    constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

namespace kvlab::simt {

// What a GPU moves in one instruction; may_alias, because the numbers inside are T.
using Eight = std::uint64_t __attribute__((may_alias));
using Sixteen = long long __attribute__((vector_size(16), may_alias));

template <class T>
struct alignas(2 * sizeof(T)) Vector2 {
    T x, y;

    Vector2() = default;

    KVLAB_INLINE Vector2(T x_, T y_) : x(x_), y(y_) {}

    // Copied by one access of 8 bytes, as on a GPU: it must be aligned, and it counts as one.
    KVLAB_INLINE Vector2(const Vector2& other) { *this = other; }

    KVLAB_INLINE Vector2& operator=(const Vector2& other) {
        *reinterpret_cast<Eight*>(this) = *reinterpret_cast<const Eight*>(&other);
        return *this;
    }
};

template <class T>
struct alignas(4 * sizeof(T)) Vector4 {
    T x, y, z, w;

    Vector4() = default;

    KVLAB_INLINE Vector4(T x_, T y_, T z_, T w_) : x(x_), y(y_), z(z_), w(w_) {}

    // By one access of 16 bytes.
    KVLAB_INLINE Vector4(const Vector4& other) { *this = other; }

    KVLAB_INLINE Vector4& operator=(const Vector4& other) {
        *reinterpret_cast<Sixteen*>(this) = *reinterpret_cast<const Sixteen*>(&other);
        return *this;
    }
};

}  // namespace kvlab::simt

using float2 = kvlab::simt::Vector2<float>;
using float4 = kvlab::simt::Vector4<float>;
using int2 = kvlab::simt::Vector2<int>;
using int4 = kvlab::simt::Vector4<int>;
using uint2 = kvlab::simt::Vector2<unsigned>;
using uint4 = kvlab::simt::Vector4<unsigned>;

KVLAB_INLINE float2 make_float2(float x, float y) {
    return {x, y};
}

KVLAB_INLINE float4 make_float4(float x, float y, float z, float w) {
    return {x, y, z, w};
}

KVLAB_INLINE float3 make_float3(float x, float y, float z) {
    return {x, y, z};
}

KVLAB_INLINE int3 make_int3(int x, int y, int z) {
    return {x, y, z};
}

KVLAB_INLINE uint3 make_uint3(unsigned x, unsigned y, unsigned z) {
    return {x, y, z};
}

KVLAB_INLINE uint2 make_uint2(unsigned x, unsigned y) {
    return {x, y};
}

KVLAB_INLINE uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) {
    return {x, y, z, w};
}

KVLAB_INLINE int2 make_int2(int x, int y) {
    return {x, y};
}

KVLAB_INLINE int4 make_int4(int x, int y, int z, int w) {
    return {x, y, z, w};
}

#endif
