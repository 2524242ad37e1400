// linear_5_registers.cu - chapter 4: y = x w^T for many rows: each thread computes 4 x 4
// outputs.
//
// was           two reads of shared memory for each fma
// change        a block of 256 threads computes 64 rows x 64 outputs, each thread 4 rows x 4
//               columns, in registers: for each input it reads 4 + 4 numbers for 16 fma. The
//               four weights lie side by side and are one read (float4)
// why faster    16 fma for 5 reads of shared memory instead of 1 for 2; w moves once for 64
//               rows
// still bad     the copy waits for the memory and the fma wait for the copy: two sets of
//               tiles, used in turn, would overlap them. Tensor cores are out: the order in
//               which they add is nowhere defined
#include "weights.cuh"

namespace kvlab::KVLAB_KERNELS {

constexpr int kWideRows = 64, kSide = 16, kEach = 4;  // 16 x 16 threads, 4 x 4 outputs each
constexpr int kPaddedInputs = kBlock + 1;             // rows 4 apart fall into different banks

// Grid (panels, R / 64), block (16, 16).
// ANCHOR: registers
__global__ void linear_registers(int format,
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
    __shared__ __align__(16) float weights[kBlock][kBlock];  // [k][c]
    __shared__ float inputs[kWideRows][kPaddedInputs];       // [r][k]
    const int tx = threadIdx.x, ty = threadIdx.y, t = ty * kSide + tx;
    const int first = blockIdx.y * kWideRows, here = smaller(kWideRows, rows - first);
    const unsigned char* panel = w + blockIdx.x * panel_bytes;
    float total[kEach][kEach] = {};
    for (int begin = 0; begin < depth; begin += kBlock) {
        const int count = smaller(kBlock, depth - begin);
        copy_weights(format, panel, depth, begin, count, t, kSide * kSide, weights);
        for (int r = t / kBlock; r < kWideRows; r += kEach)
            if (t % kBlock < count)  // rows behind the last are zeros that nobody stores
                inputs[r][t % kBlock] =
                    r < here
                        ? x[static_cast<long long>(first + r) * x_stride + begin + t % kBlock]
                        : 0.0f;
        __syncthreads();
        float block[kEach][kEach] = {};
        for (int k = 0; k < count; ++k) {
            const float4 four = *reinterpret_cast<const float4*>(&weights[k][tx * kEach]);
#pragma unroll
            for (int i = 0; i < kEach; ++i) {
                const float in = inputs[ty * kEach + i][k];
                block[i][0] = fmaf(in, four.x, block[i][0]);
                block[i][1] = fmaf(in, four.y, block[i][1]);
                block[i][2] = fmaf(in, four.z, block[i][2]);
                block[i][3] = fmaf(in, four.w, block[i][3]);
            }
        }
#pragma unroll
        for (int i = 0; i < kEach; ++i)
#pragma unroll
            for (int j = 0; j < kEach; ++j)
                total[i][j] = begin == 0 ? block[i][j] : total[i][j] + block[i][j];
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < kEach; ++i)
#pragma unroll
        for (int j = 0; j < kEach; ++j) {
            const int r = ty * kEach + i, n = blockIdx.x * kBlock + tx * kEach + j;
            if (r < here && n < outputs)
                y[static_cast<long long>(first + r) * y_stride + n] =
                    bias == nullptr ? total[i][j] : total[i][j] + bias[n];
        }
}

// ANCHOR_END: registers

}  // namespace kvlab::KVLAB_KERNELS
