// layer_norm.cu - chapter 4: GPT-2's norm, a block of threads for each row, as
// rms_norm_2_block.
#include "row_sums.cuh"

namespace kvlab::KVLAB_KERNELS {

// Grid (R), any block size; dynamic shared memory for the padded row and its blocks' sums.
__global__ void layer_norm_block(const float* x,
                                 int x_stride,
                                 const float* weight,
                                 const float* bias,
                                 float eps,
                                 float* y,
                                 int y_stride,
                                 int width) {
    KVLAB_DYNAMIC_SHARED(float, row);
    float* const blocks = row + padded_row(width);
    const float* in = x + static_cast<long long>(blockIdx.x) * x_stride;
    float* out = y + static_cast<long long>(blockIdx.x) * y_stride;
    for (int i = threadIdx.x; i < width; i += blockDim.x) row[padded(i)] = in[i];
    __syncthreads();
    const float n = static_cast<float>(width);
    const float mean =
        row_sum(row, width, blocks, [](float term, float sum) { return sum + term; }) / n;
    const float squares = row_sum(row, width, blocks, [mean](float term, float sum) {
        return fmaf(term - mean, term - mean, sum);
    });
    const float scale = 1.0f / sqrtf(squares / n + eps);
    for (int i = threadIdx.x; i < width; i += blockDim.x)
        out[i] = fmaf((row[padded(i)] - mean) * scale, weight[i], bias[i]);
}

}  // namespace kvlab::KVLAB_KERNELS
