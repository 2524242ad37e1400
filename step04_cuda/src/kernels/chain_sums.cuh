// chain_sums.cuh - chapter 4: sums of blocks of 64 inputs that one kernel leaves in global
// memory and the next one adds: for whichever kernel comes after a product over a wide grid.
#pragma once

#include "contract.cuh"

namespace kvlab::KVLAB_KERNELS {

// Output n of row r: its chains in order (rule 2), then the bias, unless that is null. Eight
// loads are under way at a time.
// ANCHOR: total
__device__ __forceinline__ float total_of_chains(const ChainSums& sums,
                                                 int r,
                                                 int n,
                                                 const float* bias) {
    constexpr int kAtOnce = 8;
    const long long apart = static_cast<long long>(sums.rows) * sums.outputs;
    const float* const first = sums.first + static_cast<long long>(r) * sums.outputs + n;
    float total = 0.0f;
    for (int begin = 0; begin < sums.chains; begin += kAtOnce) {
        float chain[kAtOnce] = {};
#pragma unroll
        for (int i = 0; i < kAtOnce; ++i)
            if (begin + i < sums.chains) chain[i] = first[(begin + i) * apart];
#pragma unroll
        for (int i = 0; i < kAtOnce; ++i)
            if (begin + i < sums.chains) total = add_block(begin + i == 0, total, chain[i]);
    }
    return bias == nullptr ? total : total + bias[n];
}

// ANCHOR_END: total

}  // namespace kvlab::KVLAB_KERNELS
