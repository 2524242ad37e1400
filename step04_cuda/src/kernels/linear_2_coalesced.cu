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

// Grid (N / threads, R), any block size. w in panels of `panel_bytes`.
__global__ void linear_coalesced(int format,
                                 const unsigned char* w,
                                 long long panel_bytes,
                                 const float* bias,
                                 const float* x,
                                 int x_stride,
                                 float* y,
                                 int y_stride,
                                 int outputs,
                                 int depth) {
    const int n = blockIdx.x * blockDim.x + threadIdx.x, r = blockIdx.y;
    if (n >= outputs) return;
    const unsigned char* panel = panel_of(w, n, panel_bytes);
    const float* in = x + static_cast<long long>(r) * x_stride;
    float total = 0.0f;
    for (int begin = 0; begin < depth; begin += kBlock) {
        float block = 0.0f;
        for (int k = begin; k < smaller(begin + kBlock, depth); k += kEight) {
            float eight[kEight];
            load_eight(format, panel, depth, k, n % kBlock, eight);
#pragma unroll
            for (int i = 0; i < kEight; ++i)
                if (k + i < depth) block = fmaf(in[k + i], eight[i], block);
        }
        total = add_block(begin == 0, total, block);
    }
    y[static_cast<long long>(r) * y_stride + n] = bias == nullptr ? total : total + bias[n];
}

}  // namespace kvlab::KVLAB_KERNELS
