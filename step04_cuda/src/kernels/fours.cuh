// fours.cuh - chapter 4: one thread's view of four neighbouring columns: one wide load where
// four threads would make four narrow ones.
//
//   F32          a float4 for each input     16 bytes
//   F16, BF16    four halves                  8 bytes
//   Q8_0         four codes in a word         4 bytes
//   Q4_0, Q4_1   four words of eight codes   16 bytes for eight inputs
//
// Sixteen threads read all 64 columns of a panel, side by side: every sector is used whole.
// Four number `four` is the columns 4 four ... 4 four + 3.
#pragma once

#include "groups.cuh"

namespace kvlab::KVLAB_KERNELS {

constexpr int kFour = 4;
constexpr int kFours = kPanel / kFour;  // threads for the columns of a panel

struct FourScales {
    Scale of[kFour];
};

// Two halves are in each word.
__device__ __forceinline__ float half_of(const uint2& halves, int i) {
    const unsigned word = i < 2 ? halves.x : halves.y;
    return f16_to_f32(word >> (16 * (i % 2)) & 0xffffu);
}

template <TensorType type>
__device__ __forceinline__ FourScales scales_of_four(const unsigned char* group, int four) {
    FourScales scales = {};
    if constexpr (kIsCoded<type>) {
        const uint2 d = reinterpret_cast<const uint2*>(group)[four];
#pragma unroll
        for (int j = 0; j < kFour; ++j) scales.of[j].d = half_of(d, j);
    }
    if constexpr (type == TensorType::q4_1) {
        const uint2 m = reinterpret_cast<const uint2*>(group + kScales)[four];
#pragma unroll
        for (int j = 0; j < kFour; ++j) scales.of[j].m = half_of(m, j);
    }
    return scales;
}

// Four numbers as they are stored, each in a word of its own.
template <TensorType type>
__device__ __forceinline__ uint4 stored_four(const unsigned char* numbers, int in, int four) {
    const int at = in * kFours + four;
    uint4 stored;
    if constexpr (type == TensorType::f32) {
        stored = reinterpret_cast<const uint4*>(numbers)[at];
    } else if constexpr (type == TensorType::q8_0) {
        const unsigned codes = reinterpret_cast<const unsigned*>(numbers)[at];
        stored.x = codes & 0xffu, stored.y = codes >> 8 & 0xffu;
        stored.z = codes >> 16 & 0xffu, stored.w = codes >> 24;
    } else {
        const uint2 halves = reinterpret_cast<const uint2*>(numbers)[at];
        stored.x = halves.x & 0xffffu, stored.y = halves.x >> 16;
        stored.z = halves.y & 0xffffu, stored.w = halves.y >> 16;
    }
    return stored;
}

template <TensorType type>
__device__ __forceinline__ float4 expand_four(uint4 stored, const FourScales& scales) {
    return make_float4(
        expand<type>(stored.x, scales.of[0]), expand<type>(stored.y, scales.of[1]),
        expand<type>(stored.z, scales.of[2]), expand<type>(stored.w, scales.of[3]));
}

// Inputs in ... in + 7 of four columns of a group: all loads first, then the expansion. Those
// from `here` on are left alone. in is a multiple of 8.
// ANCHOR: fours
template <TensorType type>
__device__ __forceinline__ void load_fours(const unsigned char* group,
                                           const FourScales& scales,
                                           int in,
                                           int here,
                                           int four,
                                           float4 (&w)[kEight]) {
    const unsigned char* const numbers = group + kScaleBytes<type>;
    if constexpr (kIsQ4<type>) {
        const uint4 eights =
            reinterpret_cast<const uint4*>(numbers)[in / kEight * kFours + four];
#pragma unroll
        for (int i = 0; i < kEight; ++i) {
            uint4 codes;
            codes.x = eights.x >> (4 * i) & 15u, codes.y = eights.y >> (4 * i) & 15u;
            codes.z = eights.z >> (4 * i) & 15u, codes.w = eights.w >> (4 * i) & 15u;
            w[i] = expand_four<type>(codes, scales);
        }
    } else {
        uint4 stored[kEight] = {};
#pragma unroll
        for (int i = 0; i < kEight; ++i)
            if (i < here) stored[i] = stored_four<type>(numbers, in + i, four);
#pragma unroll
        for (int i = 0; i < kEight; ++i)
            if (i < here) w[i] = expand_four<type>(stored[i], scales);
    }
}

// ANCHOR_END: fours

__device__ __forceinline__ void fma_four(float in, const float4& w, float4& sum) {
    sum.x = fmaf(in, w.x, sum.x);
    sum.y = fmaf(in, w.y, sum.y);
    sum.z = fmaf(in, w.z, sum.z);
    sum.w = fmaf(in, w.w, sum.w);
}

}  // namespace kvlab::KVLAB_KERNELS
