// gather.cu - chapter 4: the embedding: rows of a table, by token.
#include "weights.cuh"

namespace kvlab::KVLAB_KERNELS {

// x[r] = row tokens[r] of a table in panels. A thread has eight numbers, the least that a 4-bit
// format hands out. In panels the numbers of one row lie 64 apart: 32 sectors per request, the
// price of the layout that the head's product wants, paid for one row. Grid (depth / 8 /
// threads, R), any block size.
__global__ void gather_panels(int format,
                              const unsigned char* table,
                              long long panel_bytes,
                              const int* tokens,
                              float* x,
                              int x_stride,
                              int depth) {
    const int k = (blockIdx.x * blockDim.x + threadIdx.x) * kEight, token = tokens[blockIdx.y];
    if (k >= depth) return;
    float eight[kEight];
    load_eight(format, panel_of(table, token, panel_bytes), depth, k, token % kBlock, eight);
    float* out = x + static_cast<long long>(blockIdx.y) * x_stride + k;
#pragma unroll
    for (int i = 0; i < kEight; ++i)
        if (k + i < depth) out[i] = eight[i];
}

// The same for a table in rows, of floats: a thread has one number.
__global__ void gather_rows(
    const float* table, const int* tokens, float* x, int x_stride, int depth) {
    const int k = blockIdx.x * blockDim.x + threadIdx.x, token = tokens[blockIdx.y];
    if (k < depth)
        x[static_cast<long long>(blockIdx.y) * x_stride + k] =
            table[static_cast<long long>(token) * depth + k];
}

}  // namespace kvlab::KVLAB_KERNELS
