// contract.cuh - chapter 4: the numeric contract (chapter 1) in the words of a kernel. Each
// function is the one of the same name in numerics.hpp and half.hpp, for device code; a test
// compares them. (They are written out again because they are compiled raw and checked, each in
// a namespace of its own, and must call the counted fmaf.)
//
// What differs from other kernels: no expf, exp2f, rsqrtf or tanhf, since a GPU approximates
// them; fmaf where a multiply-add is meant, and -fmad=false everywhere else.
#pragma once

#include <kvlab/cuda/kernel.hpp>

#include "arguments.hpp"
#include "host.hpp"
#include "sizes.hpp"

namespace kvlab::KVLAB_KERNELS {

using namespace kernels;  // what both sides know: arguments and sizes

__device__ __forceinline__ const float* row(const ConstRows& rows, int r) {
    return rows.first + static_cast<long long>(r) * rows.stride;
}

__device__ __forceinline__ float* row(const Rows& rows, int r) {
    return rows.first + static_cast<long long>(r) * rows.stride;
}

__device__ __forceinline__ int smaller(int a, int b) {
    return a < b ? a : b;
}

// 2^e for an integral e: 0 for e <= -127, infinity for e >= 128.
__device__ __forceinline__ float pow2(float e) {
    const float low = e > -127.0f ? e : -127.0f;
    const float clamped = low < 128.0f ? low : 128.0f;
    return __int_as_float((static_cast<int>(clamped) + 127) << 23);
}

// 2^s = p * 2^n with n the nearest integer to s, ties to even.
struct Exp2Parts {
    float p, n;
};

// ANCHOR: exp2
__device__ __forceinline__ Exp2Parts exp2_parts(float s) {
    const float n = rintf(s);
    const float f = s - n;
    float p = fmaf(0x1.470b4ap-13f, f, 0x1.5f7276p-10f);
    p = fmaf(p, f, 0x1.3b2756p-7f);
    p = fmaf(p, f, 0x1.c6ae64p-5f);
    p = fmaf(p, f, 0x1.ebfbe6p-3f);
    p = fmaf(p, f, 0x1.62e432p-1f);
    p = fmaf(p, f, 1.0f);
    return {p, n};
}

// ANCHOR_END: exp2

__device__ __forceinline__ float exp2_exact(float t) {
    const float low = t > -127.0f ? t : -127.0f;
    const Exp2Parts parts = exp2_parts(low < 128.0f ? low : 128.0f);
    return parts.p * pow2(parts.n);
}

__device__ __forceinline__ float silu(float x) {
    return x / (1.0f + exp2_exact(x * -0x1.715476p+0f));
}

__device__ __forceinline__ float gelu(float x) {
    const float u = x * fmaf(0.044715f * x, x, 1.0f) * 0.7978845608f;
    return x / (1.0f + exp2_exact(u * (-2.0f * 0x1.715476p+0f)));
}

__device__ __forceinline__ float bf16_to_f32(unsigned bits) {
    return __int_as_float(static_cast<int>(bits << 16));
}

// Shifted into place, a half is 2^112 times too small; the product is exact, for the half's
// subnormals, too.
__device__ __forceinline__ float f16_to_f32(unsigned bits) {
#ifdef __CUDACC__  // a GPU has an instruction for it; its result is exact, too
    float value = 0.0f;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(static_cast<unsigned short>(bits)));
    return value;
#else
    const unsigned sign = (bits & 0x8000u) << 16, rest = (bits & 0x7fffu) << 13;
    if (rest >= 0x0f800000u)  // infinity or NaN
        return __int_as_float(static_cast<int>(sign | rest | 0x7f800000u));
    const float magnitude = __int_as_float(static_cast<int>(rest)) * 0x1p112f;
    return __int_as_float(static_cast<int>(sign) | __float_as_int(magnitude));
#endif
}

// Total of the blocks of a sum so far and the next one: the first block IS the total (rule 2).
__device__ __forceinline__ float add_block(bool first, float total, float block) {
    return first ? block : total + block;
}

// The largest value of `lanes` neighbours in a warp, 32 or a smaller power of two, for each of
// them. A maximum has no order: they may meet as they like. All 32 lanes call it.
__device__ __forceinline__ float largest_of(float value, int lanes) {
    for (int step = lanes / 2; step > 0; step /= 2) {
        const float other = __shfl_xor_sync(0xffffffffu, value, step);
        value = other > value ? other : value;
    }
    return value;
}

}  // namespace kvlab::KVLAB_KERNELS
