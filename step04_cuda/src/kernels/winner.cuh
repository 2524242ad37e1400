// winner.cuh - chapter 4: the larger of two values and whose it is, for whoever looks for the
// most likely token together with others.
#pragma once

#include "contract.cuh"

namespace kvlab::KVLAB_KERNELS {

struct Winner {
    float value;
    int index;
};

// Whoever has seen no value: any value wins against it, minus infinity, too.
__device__ __forceinline__ Winner nobody() {
    return {__int_as_float(static_cast<int>(0xff800000u)), 0x7fffffff};
}

// The larger one, of equal ones the lower index (rule 7): it does not matter who meets whom.
__device__ __forceinline__ Winner winner_of(const Winner& a, const Winner& b) {
    const bool second = b.value > a.value || (!(a.value > b.value) && b.index < a.index);
    return second ? b : a;
}

// ANCHOR: warp
// Of 32 lanes, for each of them.
__device__ __forceinline__ Winner winner_of_warp(Winner mine) {
    for (int step = 16; step > 0; step /= 2)
        mine = winner_of(mine, {__shfl_xor_sync(0xffffffffu, mine.value, step),
                                __shfl_xor_sync(0xffffffffu, mine.index, step)});
    return mine;
}

// ANCHOR_END: warp

}  // namespace kvlab::KVLAB_KERNELS
