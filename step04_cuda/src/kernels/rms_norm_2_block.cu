// rms_norm_2_block.cu - chapter 4: y = norm of x, a block of threads for each row.
//
// was           one thread per row, its reads a row apart from its neighbours'
// change        a block of threads copies its row into shared memory, side by side; a thread
//               sums a block of 64 terms; then every thread adds the blocks' sums in order
// why faster    4 sectors per request instead of 32; one row keeps many threads busy
// still bad     three barriers for a row of 576; and the normed row goes through global
//               memory, only to be read by the product that follows
#include "row_sums.cuh"

namespace kvlab::KVLAB_KERNELS {

// Grid (R), any block size; dynamic shared memory for the padded row and its blocks' sums.
// ANCHOR: rms_norm
__global__ void rms_norm_block(const float* x,
                               int x_stride,
                               const float* weight,
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
    const float squares = row_sum(row, width, blocks,
                                  [](float term, float sum) { return fmaf(term, term, sum); });
    const float scale = 1.0f / sqrtf(squares / static_cast<float>(width) + eps);
    for (int i = threadIdx.x; i < width; i += blockDim.x)
        out[i] = row[padded(i)] * scale * weight[i];
}

// ANCHOR_END: rms_norm

}  // namespace kvlab::KVLAB_KERNELS
