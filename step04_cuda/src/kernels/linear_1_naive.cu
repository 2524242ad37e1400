// linear_1_naive.cu - chapter 4: y = x w^T, a thread for each output.
//
// was           the plain loop of chapter 1: for each output one dot product
// change        each output has a thread of its own
// why faster    thousands of outputs at a time instead of one
// still bad     w lies in rows [N][K]: the lanes of a warp are different outputs, so they read
//               a whole row apart, and each request moves 32 sectors for 32 numbers. All rows
//               of x read all of w again.
#include "contract.cuh"

namespace kvlab::KVLAB_KERNELS {

// Grid (N / threads, R), any block size. w [N, K] in rows, floats; bias [N] or null.
// ANCHOR: naive
__global__ void linear_naive(const float* w,
                             const float* bias,
                             const float* x,
                             int x_stride,
                             float* y,
                             int y_stride,
                             int outputs,
                             int depth) {
    const int n = blockIdx.x * blockDim.x + threadIdx.x, r = blockIdx.y;
    if (n >= outputs) return;
    const float* row = w + static_cast<long long>(n) * depth;
    const float* in = x + static_cast<long long>(r) * x_stride;
    float total = 0.0f;
    for (int begin = 0; begin < depth; begin += kBlock) {
        float block = 0.0f;
        for (int k = begin; k < smaller(begin + kBlock, depth); ++k)
            block = fmaf(in[k], row[k], block);
        total = add_block(begin == 0, total, block);
    }
    y[static_cast<long long>(r) * y_stride + n] = bias == nullptr ? total : total + bias[n];
}

// ANCHOR_END: naive

}  // namespace kvlab::KVLAB_KERNELS
