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
__global__ void rms_norm_block(NormArgs args) {
    KVLAB_DYNAMIC_SHARED(float, terms);
    const int width = args.width;
    float* const blocks = terms + padded_row(width);
    const float* in = row(args.x, blockIdx.x);
    float* out = row(args.y, blockIdx.x);
    for (int i = threadIdx.x; i < width; i += blockDim.x) terms[padded(i)] = in[i];
    __syncthreads();
    const float squares = row_sum(terms, width, blocks,
                                  [](float term, float sum) { return fmaf(term, term, sum); });
    const float scale = 1.0f / sqrtf(squares / static_cast<float>(width) + args.eps);
    for (int i = threadIdx.x; i < width; i += blockDim.x)
        out[i] = terms[padded(i)] * scale * args.weight[i];
}

// ANCHOR_END: rms_norm

}  // namespace kvlab::KVLAB_KERNELS

#if KVLAB_HOST_CODE
KVLAB_LAUNCHABLE(rms_norm_block)

namespace kvlab::kernels {

void launch_rms_norm_block(const NormArgs& args, unsigned threads) {
    launch(rms_norm_block, groups(args.rows, 1), threads,
           static_cast<std::size_t>(row_bytes(args.width)), args);
}

}  // namespace kvlab::kernels
#endif
