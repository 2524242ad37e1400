// rms_norm_1_naive.cu - chapter 4: y = norm of x, a thread for each row.
//
// was           the plain loop of chapter 1
// change        each row has a thread of its own
// why faster    for a prompt: rows at a time. For one token it is not
// still bad     lanes are different rows, a row apart: 32 sectors per request; and decoding
//               has one row, so one thread
#include "contract.cuh"

namespace kvlab::KVLAB_KERNELS {

// Grid (R / threads), any block size.
__global__ void rms_norm_naive(NormArgs args) {
    const int r = blockIdx.x * blockDim.x + threadIdx.x, width = args.width;
    if (r >= args.rows) return;
    const float* in = row(args.x, r);
    float* out = row(args.y, r);
    float total = 0.0f;
    for (int begin = 0; begin < width; begin += kSumBlock) {
        float block = 0.0f;
        for (int i = begin; i < smaller(begin + kSumBlock, width); ++i)
            block = fmaf(in[i], in[i], block);
        total = add_block(begin == 0, total, block);
    }
    const float scale = 1.0f / sqrtf(total / static_cast<float>(width) + args.eps);
    for (int i = 0; i < width; ++i) out[i] = in[i] * scale * args.weight[i];
}

}  // namespace kvlab::KVLAB_KERNELS

#if KVLAB_HOST_CODE
KVLAB_LAUNCHABLE(rms_norm_naive)

namespace kvlab::kernels {

void launch_rms_norm_naive(const NormArgs& args, unsigned threads) {
    launch(rms_norm_naive, groups(args.rows, threads), threads, 0, args);
}

}  // namespace kvlab::kernels
#endif
