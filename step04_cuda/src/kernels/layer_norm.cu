// layer_norm.cu - chapter 4: GPT-2's norm, a block of threads for each
// row, as rms_norm_2_block.
#include "row_sums.cuh"

namespace kvlab::KVLAB_KERNELS {

// Grid (R), any block size; dynamic shared memory for the padded row and its blocks' sums.
__global__ void layer_norm_block(NormArgs args) {
    KVLAB_DYNAMIC_SHARED(float, terms);
    const int width = args.width;
    float* const blocks = terms + padded_row(width);
    const float* in = row(args.x, blockIdx.x);
    float* out = row(args.y, blockIdx.x);
    for (int i = threadIdx.x; i < width; i += blockDim.x) terms[padded(i)] = in[i];
    __syncthreads();
    const float n = static_cast<float>(width);
    const float mean =
        row_sum(terms, width, blocks, [](float term, float sum) { return sum + term; }) / n;
    const float squares = row_sum(terms, width, blocks, [mean](float term, float sum) {
        return fmaf(term - mean, term - mean, sum);
    });
    const float scale = 1.0f / sqrtf(squares / n + args.eps);
    for (int i = threadIdx.x; i < width; i += blockDim.x)
        out[i] = fmaf((terms[padded(i)] - mean) * scale, args.weight[i], args.bias[i]);
}

}  // namespace kvlab::KVLAB_KERNELS

#if KVLAB_HOST_CODE
KVLAB_LAUNCHABLE(layer_norm_block)

namespace kvlab::kernels {

void launch_layer_norm(const NormArgs& args) {
    launch(layer_norm_block, groups(args.rows, 1), kThreads,
           static_cast<std::size_t>(row_bytes(args.width)), args);
}

}  // namespace kvlab::kernels
#endif
