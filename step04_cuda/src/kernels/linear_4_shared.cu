// linear_4_shared.cu - chapter 4: y = x w^T for many rows: a tile of w is read once for 16
// rows.
//
// was           each row of x reads all of w, and expands its format, again
// change        a block of threads computes 16 rows x 64 outputs. For each block of 64 inputs
//               it copies w and x into shared memory, expanded, and all rows use that copy
// why faster    w moves from global memory once for 16 rows
// still bad     two reads of shared memory for each fma: now that is what takes the time
#include "weights.cuh"

namespace kvlab::KVLAB_KERNELS {

constexpr int kTileRows = 16;

// Grid (panels, R / 16), block (64, 1 ... 16).
__global__ void linear_shared(int format,
                              const unsigned char* w,
                              long long panel_bytes,
                              const float* bias,
                              const float* x,
                              int x_stride,
                              float* y,
                              int y_stride,
                              int rows,
                              int outputs,
                              int depth) {
    __shared__ float weights[kBlock][kBlock];    // [k][c]
    __shared__ float inputs[kTileRows][kBlock];  // [r][k]
    __shared__ float totals[kTileRows][kBlock];  // [r][c]
    const int c = threadIdx.x, n = blockIdx.x * kBlock + c, first = blockIdx.y * kTileRows;
    const unsigned char* panel = w + blockIdx.x * panel_bytes;
    for (int begin = 0; begin < depth; begin += kBlock) {
        const int count = smaller(kBlock, depth - begin);
        copy_weights(format, panel, depth, begin, count, threadIdx.y * kBlock + c,
                     blockDim.y * kBlock, weights);
        for (int r = threadIdx.y; r < kTileRows; r += blockDim.y)
            if (first + r < rows && c < count)
                inputs[r][c] = x[static_cast<long long>(first + r) * x_stride + begin + c];
        __syncthreads();
        for (int r = threadIdx.y; r < smaller(kTileRows, rows - first); r += blockDim.y) {
            float block = 0.0f;
            for (int k = 0; k < count; ++k) block = fmaf(inputs[r][k], weights[k][c], block);
            totals[r][c] = begin == 0 ? block : totals[r][c] + block;
        }
        __syncthreads();
    }
    if (n >= outputs) return;
    for (int r = threadIdx.y; r < smaller(kTileRows, rows - first); r += blockDim.y)
        y[static_cast<long long>(first + r) * y_stride + n] =
            bias == nullptr ? totals[r][c] : totals[r][c] + bias[n];
}

}  // namespace kvlab::KVLAB_KERNELS
