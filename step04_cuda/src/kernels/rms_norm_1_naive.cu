// rms_norm_1_naive.cu - chapter 4: y = norm of x, a thread for each row.
//
// was           the plain loop of chapter 1
// change        each row has a thread of its own
// why faster    for a prompt: rows at a time. For one token it is not
// still bad     lanes are different rows, a row apart: 32 sectors per request; and decoding
//               has one row, so one thread
#include "contract.cuh"

namespace kvlab::KVLAB_KERNELS {

// Grid (R / threads), any block size. y may be x.
__global__ void rms_norm_naive(const float* x,
                               int x_stride,
                               const float* weight,
                               float eps,
                               float* y,
                               int y_stride,
                               int rows,
                               int width) {
    const int r = blockIdx.x * blockDim.x + threadIdx.x;
    if (r >= rows) return;
    const float* in = x + static_cast<long long>(r) * x_stride;
    float* out = y + static_cast<long long>(r) * y_stride;
    float total = 0.0f;
    for (int begin = 0; begin < width; begin += kBlock) {
        float block = 0.0f;
        for (int i = begin; i < smaller(begin + kBlock, width); ++i)
            block = fmaf(in[i], in[i], block);
        total = add_block(begin == 0, total, block);
    }
    const float scale = 1.0f / sqrtf(total / static_cast<float>(width) + eps);
    for (int i = 0; i < width; ++i) out[i] = in[i] * scale * weight[i];
}

}  // namespace kvlab::KVLAB_KERNELS
