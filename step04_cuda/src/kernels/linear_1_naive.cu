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

// Grid (N / threads, R), any block size. w in rows.
// ANCHOR: naive
__global__ void linear_naive(LinearArgs args) {
    const int n = blockIdx.x * blockDim.x + threadIdx.x, r = blockIdx.y, depth = args.w.depth;
    if (n >= args.w.outputs) return;
    const float* weights = args.w.rows + static_cast<long long>(n) * depth;
    const float* in = row(args.x, r);
    float* out = row(args.y, r);
    float total = 0.0f;
    for (int begin = 0; begin < depth; begin += kSumBlock) {
        float block = 0.0f;
        for (int k = begin; k < smaller(begin + kSumBlock, depth); ++k)
            block = fmaf(in[k], weights[k], block);
        total = add_block(begin == 0, total, block);
    }
    out[n] = args.bias == nullptr ? total : total + args.bias[n];
}

// ANCHOR_END: naive

}  // namespace kvlab::KVLAB_KERNELS

#if KVLAB_HOST_CODE
KVLAB_LAUNCHABLE(linear_naive)

namespace kvlab::kernels {

void launch_linear_naive(const LinearArgs& args, unsigned threads, Scratch&) {
    launch(linear_naive, {groups(args.w.outputs, threads), groups(args.rows, 1)}, threads, 0,
           args);
}

}  // namespace kvlab::kernels
#endif
