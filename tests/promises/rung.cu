// linear_9_pairs.cu - chapter 4: y = x w^T, a weight in registers serves two rows of x.
//
// was           linear_2_coalesced: each row of x reads and expands all of w again
// change        a thread has the same output of two rows and loads eight weights for both
// why faster    half of the sectors of w, and two chains of additions that need not wait
// still bad     an odd last row computes its pair in vain; one thread per output, as there
//
// An example, and a test: tests/tools/promises_test.py adds it to a copy of the tree.
#include "weights.cuh"

namespace kvlab::KVLAB_KERNELS {

constexpr int kPair = 2;  // rows of x

// Grid (N / threads, R / 2), any block size. w in panels.
__global__ void linear_pairs(LinearArgs args) {
    const int n = blockIdx.x * blockDim.x + threadIdx.x, first = blockIdx.y * kPair;
    const int depth = args.w.depth;
    if (n >= args.w.outputs) return;
    const unsigned char* panel = panel_of(args.w, n / kPanel);
    const int here = smaller(kPair, args.rows - first);
    const float* in[kPair] = {row(args.x, first), row(args.x, first + here - 1)};
    float total[kPair] = {0.0f, 0.0f};
    for (int begin = 0; begin < depth; begin += kSumBlock) {
        float block[kPair] = {0.0f, 0.0f};
        for (int k = begin; k < smaller(begin + kSumBlock, depth); k += kEight) {
            float eight[kEight];
            load_eight(args.w.type, panel, depth, k, n % kPanel, eight);
#pragma unroll
            for (int p = 0; p < kPair; ++p)
#pragma unroll
                for (int i = 0; i < kEight; ++i)
                    if (k + i < depth) block[p] = fmaf(in[p][k + i], eight[i], block[p]);
        }
#pragma unroll
        for (int p = 0; p < kPair; ++p) total[p] = add_block(begin == 0, total[p], block[p]);
    }
    for (int p = 0; p < here; ++p)
        row(args.y, first + p)[n] = args.bias == nullptr ? total[p] : total[p] + args.bias[n];
}

}  // namespace kvlab::KVLAB_KERNELS

#if KVLAB_HOST_CODE
KVLAB_LAUNCHABLE(linear_pairs)

namespace kvlab::kernels {

void launch_linear_pairs(const LinearArgs& args, unsigned threads, Scratch&) {
    launch(linear_pairs, {groups(args.w.outputs, threads), groups(args.rows, raw::kPair)},
           threads, 0, args);
}

}  // namespace kvlab::kernels
#endif
