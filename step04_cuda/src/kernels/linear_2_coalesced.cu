// linear_2_coalesced.cu - chapter 4: y = x w^T, neighbours read neighbours.
//
// was           w in rows: 32 sectors per request
// change        w in panels [N/64][K][64], the layout that chapter 1 made for SIMD: lanes are
//               different outputs there, too. In any format; expanded in registers.
// why faster    32 floats side by side are 4 sectors; eight times fewer move
// still bad     one thread per output: a vector times a matrix of 576 outputs keeps 576
//               threads busy, on a machine for 100 000. All rows of x read all of w again.
#include "weights.cuh"

namespace kvlab::KVLAB_KERNELS {

// Grid (N / threads, R), any block size. w in panels.
__global__ void linear_coalesced(LinearArgs args) {
    const int n = blockIdx.x * blockDim.x + threadIdx.x, r = blockIdx.y, depth = args.w.depth;
    if (n >= args.w.outputs) return;
    const unsigned char* panel = panel_of(args.w, n / kPanel);
    const float* in = row(args.x, r);
    float* out = row(args.y, r);
    float total = 0.0f;
    for (int begin = 0; begin < depth; begin += kSumBlock) {
        float block = 0.0f;
        for (int k = begin; k < smaller(begin + kSumBlock, depth); k += kEight) {
            float eight[kEight];
            load_eight(args.w.type, panel, depth, k, n % kPanel, eight);
#pragma unroll
            for (int i = 0; i < kEight; ++i)
                if (k + i < depth) block = fmaf(in[k + i], eight[i], block);
        }
        total = add_block(begin == 0, total, block);
    }
    out[n] = args.bias == nullptr ? total : total + args.bias[n];
}

}  // namespace kvlab::KVLAB_KERNELS

#if KVLAB_HOST_CODE
KVLAB_LAUNCHABLE(linear_coalesced)

namespace kvlab::kernels {

void launch_linear_coalesced(const LinearArgs& args, unsigned threads, Scratch&) {
    launch(linear_coalesced, {groups(args.w.outputs, threads), groups(args.rows, 1)}, threads,
           0, args);
}

}  // namespace kvlab::kernels
#endif
