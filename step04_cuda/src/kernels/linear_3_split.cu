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
__global__ void linear_split(int format,
                             const unsigned char* w,
                             long long panel_bytes,
                             const float* bias,
                             const float* x,
                             int x_stride,
                             float* y,
                             int y_stride,
                             int outputs,
                             int depth) {
    __shared__ float blocks[kMostBlocks][kBlock];
    const int c = threadIdx.x, mine = threadIdx.y, at_once = blockDim.y;
    const int n = blockIdx.x * kBlock + c, r = blockIdx.y;
    const unsigned char* panel = w + blockIdx.x * panel_bytes;
    const float* in = x + static_cast<long long>(r) * x_stride;
    float total = 0.0f;
    for (int first = 0; first < depth; first += at_once * kBlock) {
        const int begin = first + mine * kBlock;
        float block = 0.0f;
        for (int k = begin; k < smaller(begin + kBlock, depth); k += kEight) {
            float eight[kEight];
            load_eight(format, panel, depth, k, c, eight);
#pragma unroll
            for (int i = 0; i < kEight; ++i)
                if (k + i < depth) block = fmaf(in[k + i], eight[i], block);
        }
        blocks[mine][c] = block;
        __syncthreads();
        if (mine == 0)
            for (int b = 0; b < at_once && first + b * kBlock < depth; ++b)
                total = add_block(first + b == 0, total, blocks[b][c]);
        __syncthreads();  // before the next blocks overwrite these
    }
    if (mine == 0 && n < outputs)
        y[static_cast<long long>(r) * y_stride + n] = bias == nullptr ? total : total + bias[n];
}

// ANCHOR_END: split

}  // namespace kvlab::KVLAB_KERNELS
