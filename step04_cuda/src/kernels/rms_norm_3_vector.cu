// rms_norm_3_vector.cu - chapter 4: y = norm of x, one wait for memory instead of two.
//
// was           x moves number by number; the weights set out only when the sum is known
// change        a thread loads four numbers of x and four weights at once, before anything
//               else, and keeps both. Blocks of 64 terms are summed by reads of four numbers
// why faster    the second trip to memory is over when the first is. The chain of 64 fma, which
//               nobody may shorten, has 16 reads instead of 64
// still bad     nine threads add while 247 wait, and the normed row still goes through global
//               memory
#include "contract.cuh"

namespace kvlab::KVLAB_KERNELS {

constexpr int kHeld = kMostWideRow / kNormThreads / kWide;  // fours of a row that a thread has

// Where term i of the row is in shared memory: a gap of four after every 64. Eight threads that
// read four terms of eight blocks ask all 32 banks.
__device__ __forceinline__ int wide_place(int i) {
    return i + i / kSumBlock * kWide;
}

// Grid (R), block 256; wide_row_bytes(width) of dynamic shared memory. The width is a multiple
// of four, at most 4096, and rows begin at multiples of 16 bytes.
// ANCHOR: rms_norm_vector
__global__ void __launch_bounds__(kNormThreads) rms_norm_vector(NormArgs args) {
    KVLAB_DYNAMIC_SHARED(float, terms);
    const int width = args.width, count = (width + kSumBlock - 1) / kSumBlock;
    float* const blocks = terms + count * kWideStride;
    const float4* in = reinterpret_cast<const float4*>(row(args.x, blockIdx.x));
    const float4* weights = reinterpret_cast<const float4*>(args.weight);
    float4* out = reinterpret_cast<float4*>(row(args.y, blockIdx.x));
    float4 x[kHeld], w[kHeld];
#pragma unroll
    for (int j = 0; j < kHeld; ++j) {
        const int at = threadIdx.x + j * kNormThreads;
        if (at >= width / kWide) break;
        x[j] = in[at];
        w[j] = weights[at];
    }
#pragma unroll
    for (int j = 0; j < kHeld; ++j) {
        const int i = (threadIdx.x + j * kNormThreads) * kWide;
        if (i < width) *reinterpret_cast<float4*>(terms + wide_place(i)) = x[j];
    }
    __syncthreads();
    for (int b = threadIdx.x; b < count; b += kNormThreads) {
        float block = 0.0f;
        for (int i = b * kSumBlock; i < smaller((b + 1) * kSumBlock, width); i += kWide) {
            const float4 four = *reinterpret_cast<const float4*>(terms + wide_place(i));
            block = fmaf(four.x, four.x, block);
            block = fmaf(four.y, four.y, block);
            block = fmaf(four.z, four.z, block);
            block = fmaf(four.w, four.w, block);
        }
        blocks[b] = block;
    }
    __syncthreads();
    float squares = blocks[0];
    for (int b = 1; b < count; ++b) squares = squares + blocks[b];
    const float scale = 1.0f / sqrtf(squares / static_cast<float>(width) + args.eps);
#pragma unroll
    for (int j = 0; j < kHeld; ++j) {
        const int at = threadIdx.x + j * kNormThreads;
        if (at < width / kWide)
            out[at] = make_float4(x[j].x * scale * w[j].x, x[j].y * scale * w[j].y,
                                  x[j].z * scale * w[j].z, x[j].w * scale * w[j].w);
    }
}

// ANCHOR_END: rms_norm_vector

}  // namespace kvlab::KVLAB_KERNELS

#if KVLAB_HOST_CODE
KVLAB_LAUNCHABLE(rms_norm_vector)

namespace kvlab::kernels {

namespace {

bool is_wide(const float* first, int stride) {
    return reinterpret_cast<std::uintptr_t>(first) % (4 * kWide) == 0 && stride % kWide == 0;
}

}  // namespace

// Rows that begin elsewhere, or that are wider, go the way of the rung before.
void launch_rms_norm_vector(const NormArgs& args, unsigned threads) {
    if (args.width > kMostWideRow || !is_wide(args.x.first, args.x.stride) ||
        !is_wide(args.y.first, args.y.stride) || !is_wide(args.weight, args.width))
        return launch_rms_norm_block(args, threads);
    launch(rms_norm_vector, groups(args.rows, 1), threads,
           static_cast<std::size_t>(wide_row_bytes(args.width)), args);
}

}  // namespace kvlab::kernels
#endif
