// linear_6_vector.cu - chapter 4: y = x w^T for few rows: wide loads, and several under way.
//
// was           linear_3_split: a thread loads one weight, waits for it, loads the next. Each
//               load asks for the format, for the end of the depth and for its address again
// change        a thread has four neighbouring columns of a block of 64 inputs: one load of 16
//               bytes brings four floats. Eight such loads are sent off before the first is
//               used, and the format is known to the compiler
// why faster    a quarter of the requests, eight of them at a time: the memory is waited for
//               once for eight inputs, and hardly an instruction is neither load nor fma
// still bad     a block of threads for each 64 outputs, again: nine for 576 outputs, on a
//               machine of 132 multiprocessors. Each row of x reads all of w again
#include "fours.cuh"

namespace kvlab::KVLAB_KERNELS {

// The chain of 64 inputs from `begin` on, for four columns.
// ANCHOR: chain
template <TensorType type>
__device__ __forceinline__ float4
chain_of_four(const unsigned char* panel, const float* in, int begin, int end, int four) {
    float4 chain = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    for (int first = begin; first < end; first += kGroup) {
        const unsigned char* group =
            panel + static_cast<long long>(first / kGroup) * kGroupBytes<type>;
        const FourScales scales = scales_of_four<type>(group, four);
        for (int i = 0; i < kGroup && first + i < end; i += kEight) {
            const float* const inputs = in + first + i;
            const auto eight = [&](int here) {
                float4 w[kEight] = {};
                load_fours<type>(group, scales, i, here, four, w);
#pragma unroll
                for (int k = 0; k < kEight; ++k)
                    if (k < here) fma_four(inputs[k], w[k], chain);
            };
            if (kIsCoded<type> || end - first - i >= kEight)
                eight(kEight);  // the compiler knows: nothing is asked eight times
            else
                eight(end - first - i);
        }
    }
    return chain;
}

// ANCHOR_END: chain

// Grid (panels, R), block (16, 1 ... 64); dynamic shared memory: a float4 for each thread.
__global__ void linear_vector(LinearArgs args) {
    KVLAB_DYNAMIC_SHARED(float4, chains);  // [at_once][16]
    const int four = threadIdx.x, mine = threadIdx.y, at_once = blockDim.y;
    const int r = blockIdx.y, depth = args.w.depth;
    const unsigned char* panel = panel_of(args.w, blockIdx.x);
    const float* in = row(args.x, r);
    float4 total = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    for (int first = 0; first < depth; first += at_once * kSumBlock) {
        const int begin = first + mine * kSumBlock;
        for_type(args.w.type, [&](auto type) {
            chains[mine * kFours + four] = chain_of_four<decltype(type)::value>(
                panel, in, begin, smaller(begin + kSumBlock, depth), four);
        });
        __syncthreads();
        if (mine == 0)
            for (int b = 0; b < at_once && first + b * kSumBlock < depth; ++b) {
                const float4 chain = chains[b * kFours + four];
                total.x = add_block(first + b == 0, total.x, chain.x);
                total.y = add_block(first + b == 0, total.y, chain.y);
                total.z = add_block(first + b == 0, total.z, chain.z);
                total.w = add_block(first + b == 0, total.w, chain.w);
            }
        __syncthreads();  // before the next chains overwrite these
    }
    if (mine != 0) return;
    const float totals[kFour] = {total.x, total.y, total.z, total.w};
#pragma unroll
    for (int j = 0; j < kFour; ++j) {
        const int n = blockIdx.x * kPanel + four * kFour + j;
        if (n < args.w.outputs)
            row(args.y, r)[n] = args.bias == nullptr ? totals[j] : totals[j] + args.bias[n];
    }
}

}  // namespace kvlab::KVLAB_KERNELS

#if KVLAB_HOST_CODE
KVLAB_LAUNCHABLE(linear_vector)

namespace kvlab::kernels {

void launch_linear_vector(const LinearArgs& args, unsigned threads, Scratch&) {
    launch(linear_vector, {groups(args.w.outputs, kPanel), groups(args.rows, 1)},
           {raw::kFours, threads / raw::kFours}, threads * sizeof(float4), args);
}

}  // namespace kvlab::kernels
#endif
