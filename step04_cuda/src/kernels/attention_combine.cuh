// attention_combine.cuh - chapter 4: the parts that the tiles left of a row, made one. A device
// function, so that whatever kernel wants the answer next can begin with it.
#pragma once

#include "contract.cuh"

namespace kvlab::KVLAB_KERNELS {

constexpr int kPartsAtOnce = 8;  // loads that a thread has under way

// Component i of the row's answer: the parts of its first `seen` tiles, weighed against the
// largest maximum and added in slot order, over the sum of the weights. All 32 lanes of a warp
// call it with the same row, each with an i of its own; nothing is left in shared memory.
//
// A lane makes the factor of one tile, for all lanes: 32 tiles at a time. A factor is a power
// of two, so a part that it scales keeps its bits, unless one of the two falls below 2^-126.
// ANCHOR: combine
__device__ __forceinline__ float combined(
    const TileParts& parts, int row, int seen, int head_dim, int i) {
    const int lane = threadIdx.x % 32;
    const float* maxima = parts.maxima + static_cast<long long>(row) * parts.stride;
    const float* totals = parts.totals + static_cast<long long>(row) * parts.stride;
    const float* sums = parts.sums + static_cast<long long>(row) * parts.tiles * head_dim + i;
    float maximum = maxima[smaller(lane, seen - 1)];
    for (int tile = lane + 32; tile < seen; tile += 32)
        maximum = maxima[tile] > maximum ? maxima[tile] : maximum;
    maximum = largest_of(maximum, 32);
    float sum = 0.0f, total = 0.0f;
    for (int begin = 0; begin < seen; begin += 32) {
        const int here = smaller(32, seen - begin);
        const float factor = lane < here ? pow2(maxima[begin + lane] - maximum) : 0.0f;
        const float weights = lane < here ? totals[begin + lane] * factor : 0.0f;
        for (int from = 0; from < here; from += kPartsAtOnce) {
            float part[kPartsAtOnce];
#pragma unroll
            for (int j = 0; j < kPartsAtOnce; ++j)
                part[j] = sums[static_cast<long long>(begin + smaller(from + j, here - 1)) *
                               head_dim];
#pragma unroll
            for (int j = 0; j < kPartsAtOnce; ++j) {
                const bool first = begin + from + j == 0, there = from + j < here;
                const float weight = __shfl_sync(0xffffffffu, weights, from + j);
                const float scale = __shfl_sync(0xffffffffu, factor, from + j);
                if (there) total = add_block(first, total, weight);
                if (there) sum = add_block(first, sum, part[j] * scale);
            }
        }
    }
    return sum / total;
}

// ANCHOR_END: combine

}  // namespace kvlab::KVLAB_KERNELS
