// row_sums.cuh - chapter 4: sums over a row that a whole block of threads works on, in the
// order of rule 2: a thread takes a block of 64 terms, one thread adds the blocks in order.
#pragma once

#include "contract.cuh"

namespace kvlab::KVLAB_KERNELS {

// Where term i of a row is kept in shared memory: a gap behind every 64. Thread b begins with
// term 64 b; without the gap all threads would ask one bank at the same time.
__device__ __forceinline__ int padded(int i) {
    return i + i / kSumBlock;
}

// Floats of shared memory that a row of `width` takes, and behind it one for each block's sum.
__device__ __forceinline__ int padded_row(int width) {
    return padded(width - 1) + 1;
}

// Sum of term(row[padded(i)]) over the row; term(x, sum) adds one. `blocks` takes the
// blocks' sums. All threads of the block call it, and all get the sum.
template <class Term>
__device__ float row_sum(const float* row, int width, float* blocks, Term term) {
    const int count = (width + kSumBlock - 1) / kSumBlock;
    for (int b = threadIdx.x; b < count; b += blockDim.x) {
        float block = 0.0f;
        for (int i = b * kSumBlock; i < smaller((b + 1) * kSumBlock, width); ++i)
            block = term(row[padded(i)], block);
        blocks[b] = block;
    }
    __syncthreads();
    float total = 0.0f;
    for (int b = 0; b < count; ++b) total = add_block(b == 0, total, blocks[b]);
    __syncthreads();  // before anybody writes to `blocks` again
    return total;
}

}  // namespace kvlab::KVLAB_KERNELS
