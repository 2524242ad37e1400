// linear_4_shared.cu - chapter 4: y = x w^T for many rows: a tile of w is read once
// for 16 rows.
//
// was           each row of x reads all of w, and expands its format, again
// change        a block of threads computes 16 rows x 64 outputs. For each block of 64 inputs
//               it copies w and x into shared memory, expanded, and all rows use that copy
// why faster    w moves from global memory once for 16 rows
// still bad     two reads of shared memory for each fma: now that is what takes the time
#include "weights.cuh"

namespace kvlab::KVLAB_KERNELS {

constexpr int kSharedRows = 16;  // rows of x that share a copy of w
static_assert(kPanel == kSumBlock, "a thread copies an input and computes an output");

// Grid (panels, R / 16), block (64, 1 ... 16).
__global__ void linear_shared(LinearArgs args) {
    __shared__ float weights[kSumBlock][kPanel];      // [k][c]
    __shared__ float inputs[kSharedRows][kSumBlock];  // [r][k]
    __shared__ float totals[kSharedRows][kPanel];     // [r][c]
    const int c = threadIdx.x, n = blockIdx.x * kPanel + c, first = blockIdx.y * kSharedRows;
    const int here = smaller(kSharedRows, args.rows - first), depth = args.w.depth;
    const unsigned char* panel = panel_of(args.w, blockIdx.x);
    for (int begin = 0; begin < depth; begin += kSumBlock) {
        const int count = smaller(kSumBlock, depth - begin);
        copy_weights(args.w.type, panel, depth, begin, count, threadIdx.y * kPanel + c,
                     blockDim.y * kPanel, weights);
        for (int r = threadIdx.y; r < here; r += blockDim.y)
            if (c < count) inputs[r][c] = row(args.x, first + r)[begin + c];
        __syncthreads();
        for (int r = threadIdx.y; r < here; r += blockDim.y) {
            float block = 0.0f;
            for (int k = 0; k < count; ++k) block = fmaf(inputs[r][k], weights[k][c], block);
            totals[r][c] = begin == 0 ? block : totals[r][c] + block;
        }
        __syncthreads();
    }
    if (n >= args.w.outputs) return;
    for (int r = threadIdx.y; r < here; r += blockDim.y)
        row(args.y, first + r)[n] =
            args.bias == nullptr ? totals[r][c] : totals[r][c] + args.bias[n];
}

}  // namespace kvlab::KVLAB_KERNELS

#if KVLAB_HOST_CODE
KVLAB_LAUNCHABLE(linear_shared)

namespace kvlab::kernels {

void launch_linear_shared(const LinearArgs& args, unsigned threads, Scratch&) {
    launch(linear_shared, {groups(args.w.outputs, kPanel), groups(args.rows, raw::kSharedRows)},
           {kPanel, threads / kPanel}, 0, args);
}

}  // namespace kvlab::kernels
#endif
