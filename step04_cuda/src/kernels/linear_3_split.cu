// linear_3_split.cu - chapter 4: y = x w^T for few rows: the depth is shared out, too.
//
// was           one thread per output walks through all of the depth
// change        thread = (output, block of 64 inputs). The blocks' sums meet in shared memory
//               and are added in order by one thread
// why faster    as many threads as the depth has blocks: enough requests under way to keep the
//               memory busy. Rule 2 allows it: a block's chain never saw the others
// still bad     each row of x reads all of w again: made for decoding, not for a prompt
#include "weights.cuh"

namespace kvlab::KVLAB_KERNELS {

constexpr int kMostBlocks = 16;  // of the depth at a time: 64 x 16 threads fill a block

// Grid (panels, R), block (64, 1 ... 16).
// ANCHOR: split
__global__ void linear_split(LinearArgs args) {
    __shared__ float blocks[kMostBlocks][kPanel];
    const int c = threadIdx.x, mine = threadIdx.y, at_once = blockDim.y;
    const int n = blockIdx.x * kPanel + c, r = blockIdx.y, depth = args.w.depth;
    const unsigned char* panel = panel_of(args.w, blockIdx.x);
    const float* in = row(args.x, r);
    float total = 0.0f;
    // ANCHOR: chain
    for (int first = 0; first < depth; first += at_once * kSumBlock) {
        const int begin = first + mine * kSumBlock;
        float block = 0.0f;
        for (int k = begin; k < smaller(begin + kSumBlock, depth); k += kEight) {
            float eight[kEight];
            load_eight(args.w.type, panel, depth, k, c, eight);
#pragma unroll
            for (int i = 0; i < kEight; ++i)
                if (k + i < depth) block = fmaf(in[k + i], eight[i], block);
        }
        // ANCHOR_END: chain
        // SOLUTION-BEGIN 4.3
        blocks[mine][c] = block;
        __syncthreads();
        if (mine == 0)
            for (int b = 0; b < at_once && first + b * kSumBlock < depth; ++b)
                total = add_block(first + b == 0, total, blocks[b][c]);
        __syncthreads();  // before the next blocks overwrite these
        // SOLUTION-END 4.3
    }
    // SOLUTION-BEGIN 4.3
    if (mine == 0 && n < args.w.outputs)
        row(args.y, r)[n] = args.bias == nullptr ? total : total + args.bias[n];
    // SOLUTION-END 4.3
}

// ANCHOR_END: split

}  // namespace kvlab::KVLAB_KERNELS

// ANCHOR: launch
#if KVLAB_HOST_CODE
KVLAB_LAUNCHABLE(linear_split)

namespace kvlab::kernels {

void launch_linear_split(const LinearArgs& args, unsigned threads, Scratch&) {
    launch(linear_split, {groups(args.w.outputs, kPanel), groups(args.rows, 1)},
           {kPanel, threads / kPanel}, 0, args);
}

}  // namespace kvlab::kernels
#endif
// ANCHOR_END: launch
