// linear_5_registers.cu - chapter 4: y = x w^T for many rows: each thread computes 4
// x 4 outputs.
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

constexpr int kSide = 16, kEach = 4;  // 16 x 16 threads, 4 x 4 outputs each
constexpr int kWideRows = kSide * kEach;
constexpr int kPaddedInputs = kSumBlock + 1;  // rows 4 apart fall into different banks
static_assert(kPanel == kSide * kEach && kPanel == kSumBlock, "one tile of w, and of threads");

// Grid (panels, R / 64), block (16, 16).
// ANCHOR: registers
__global__ void linear_registers(LinearArgs args) {
    __shared__ __align__(16) float weights[kSumBlock][kPanel];  // [k][c]
    __shared__ float inputs[kWideRows][kPaddedInputs];          // [r][k]
    const int tx = threadIdx.x, ty = threadIdx.y, t = ty * kSide + tx, depth = args.w.depth;
    const int first = blockIdx.y * kWideRows, here = smaller(kWideRows, args.rows - first);
    const unsigned char* panel = panel_of(args.w, blockIdx.x);
    float total[kEach][kEach] = {};
    for (int begin = 0; begin < depth; begin += kSumBlock) {
        const int count = smaller(kSumBlock, depth - begin);
        copy_weights(args.w.type, panel, depth, begin, count, t, kSide * kSide, weights);
        for (int r = t / kSumBlock, k = t % kSumBlock; r < kWideRows;
             r += kSide * kSide / kSumBlock)
            if (k < count)  // rows behind the last are zeros that nobody stores
                inputs[r][k] = r < here ? row(args.x, first + r)[begin + k] : 0.0f;
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
            const int r = ty * kEach + i, n = blockIdx.x * kPanel + tx * kEach + j;
            if (r < here && n < args.w.outputs)
                row(args.y, first + r)[n] =
                    args.bias == nullptr ? total[i][j] : total[i][j] + args.bias[n];
        }
}

// ANCHOR_END: registers

}  // namespace kvlab::KVLAB_KERNELS

#if KVLAB_HOST_CODE
KVLAB_LAUNCHABLE(linear_registers)

namespace kvlab::kernels {

void launch_linear_registers(const LinearArgs& args, unsigned, Scratch&) {
    launch(linear_registers,
           {groups(args.w.outputs, kPanel), groups(args.rows, raw::kWideRows)},
           {raw::kSide, raw::kSide}, 0, args);
}

}  // namespace kvlab::kernels
#endif
