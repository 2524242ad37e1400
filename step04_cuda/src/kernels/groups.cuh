// groups.cuh - chapter 4: a panel of weights as a row of groups of 32 inputs. In every format a
// group is one piece of memory, so that a kernel may fetch it with wide loads, whatever it
// holds, and expand it later:
//
//   F32          [32][64] floats
//   F16, BF16    [32][64] halves
//   Q8_0         [64] d; [32][64] codes, a byte each
//   Q4_0         [64] d; [4][64] words of eight codes
//   Q4_1         [64] d; [64] m; [4][64] words of eight codes
//
// The format is a parameter of the template: a kernel asks for it once (for_type), and no loop
// asks again. What 32 inputs share, the scale d and the minimum m, is read and turned into
// floats once for all of them.
#pragma once

#include "weights.cuh"

namespace kvlab::KVLAB_KERNELS {

template <TensorType type>
constexpr bool kIsQ4 = type == TensorType::q4_0 || type == TensorType::q4_1;
template <TensorType type>
constexpr bool kIsCoded = kIsQ4<type> || type == TensorType::q8_0;

__host__ __device__ constexpr int scale_bytes(TensorType type) {
    return type == TensorType::q4_1                               ? 2 * kScales
           : type == TensorType::q4_0 || type == TensorType::q8_0 ? kScales
                                                                  : 0;
}

// Bytes of a group. All are multiples of 16, so each group of a panel begins at one.
__host__ __device__ constexpr int group_bytes(TensorType type) {
    const int numbers = kGroup * kPanel;
    return type == TensorType::f32                               ? numbers * 4
           : type == TensorType::f16 || type == TensorType::bf16 ? numbers * 2
           : type == TensorType::q8_0                            ? scale_bytes(type) + numbers
                                      : scale_bytes(type) + numbers / 2;
}

template <TensorType type>
constexpr int kGroupBytes = group_bytes(type);
template <TensorType type>
constexpr int kScaleBytes = scale_bytes(type);

template <TensorType type>
struct TypeIs {
    static constexpr TensorType value = type;
};

// use(TypeIs<type>()): from a format in a variable to one that the compiler knows.
template <class Use>
__device__ __forceinline__ void for_type(TensorType type, Use use) {
    switch (type) {
        case TensorType::f32:
            return use(TypeIs<TensorType::f32>());
        case TensorType::f16:
            return use(TypeIs<TensorType::f16>());
        case TensorType::bf16:
            return use(TypeIs<TensorType::bf16>());
        case TensorType::q8_0:
            return use(TypeIs<TensorType::q8_0>());
        case TensorType::q4_0:
            return use(TypeIs<TensorType::q4_0>());
        case TensorType::q4_1:
            return use(TypeIs<TensorType::q4_1>());
        default:
            return;  // the others come as floats (device_matrix.cpp)
    }
}

// A column's scale and minimum in one group; nothing where there are none.
struct Scale {
    float d, m;
};

template <TensorType type>
__device__ __forceinline__ Scale scale_of(const unsigned char* group, int c) {
    Scale scale = {0.0f, 0.0f};
    if constexpr (kIsCoded<type>) scale.d = f16_to_f32(half_at(group, c));
    if constexpr (type == TensorType::q4_1) scale.m = f16_to_f32(half_at(group + kScales, c));
    return scale;
}

// code - zero as a float, both small: 2^23 is a float with an empty mantissa, into which the
// code is written. One subtraction, exact, instead of a conversion, which is slower.
__device__ __forceinline__ float code_as_float(unsigned code, float zero) {
    return __int_as_float(static_cast<int>(0x4b000000u ^ code)) - (0x1p23f + zero);
}

// The value of one number as it is stored (rule 6).
// ANCHOR: expand
template <TensorType type>
__device__ __forceinline__ float expand(unsigned stored, const Scale& scale) {
    if constexpr (type == TensorType::f32) return __int_as_float(static_cast<int>(stored));
    if constexpr (type == TensorType::f16) return f16_to_f32(stored);
    if constexpr (type == TensorType::bf16) return bf16_to_f32(stored);
    if constexpr (type == TensorType::q8_0)
        return scale.d * code_as_float(stored ^ 0x80u, 128.0f);  // -128 ... 127 in a byte
    if constexpr (type == TensorType::q4_0) return scale.d * code_as_float(stored, 8.0f);
    return fmaf(scale.d, code_as_float(stored, 0.0f), scale.m);
}

// ANCHOR_END: expand

// Inputs in ... in + 7 of one column; those from `here` on are left alone. in is a
// multiple of 8.
template <TensorType type>
__device__ __forceinline__ void load_column(const unsigned char* group,
                                            const Scale& scale,
                                            int in,
                                            int here,
                                            int c,
                                            float (&w)[kEight]) {
    const unsigned char* const numbers = group + kScaleBytes<type>;
    if constexpr (kIsQ4<type>) {
        const unsigned eight =
            reinterpret_cast<const unsigned*>(numbers)[in / kEight * kPanel + c];
#pragma unroll
        for (int i = 0; i < kEight; ++i) w[i] = expand<type>(eight >> (4 * i) & 15u, scale);
    } else {
#pragma unroll
        for (int i = 0; i < kEight; ++i) {
            if (i >= here) continue;
            const int at = (in + i) * kPanel + c;
            if constexpr (type == TensorType::f32)
                w[i] = reinterpret_cast<const float*>(numbers)[at];
            else if constexpr (type == TensorType::q8_0)
                w[i] = expand<type>(numbers[at], scale);
            else
                w[i] = expand<type>(half_at(numbers, at), scale);
        }
    }
}

}  // namespace kvlab::KVLAB_KERNELS
