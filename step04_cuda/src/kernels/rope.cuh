// rope.cuh - chapter 4: rotary position embedding of one pair of numbers.
#pragma once

#include "contract.cuh"

namespace kvlab::KVLAB_KERNELS {

// Pair i of a head of head_dim numbers, rotated if it is one of the first rope_dim / 2, then
// multiplied by `factor`. `cosines` and `sines` are the rows [rope_dim / 2] of its position. An
// odd head's last number has no partner: y is 0 then.
// ANCHOR: pair
__device__ __forceinline__ float2 rotated_pair(const float2& x,
                                               int i,
                                               int head_dim,
                                               int rope_dim,
                                               const float* cosines,
                                               const float* sines,
                                               float factor) {
    if (2 * i + 1 == head_dim || 2 * i >= rope_dim)
        return make_float2(x.x * factor, x.y * factor);
    const float c = cosines[i], s = sines[i];
    return make_float2(fmaf(x.x, c, -(x.y * s)) * factor, fmaf(x.y, c, x.x * s) * factor);
}

// ANCHOR_END: pair

}  // namespace kvlab::KVLAB_KERNELS
