// sample.cu - chapter 4: a token drawn with a temperature, the one that the
// host's Sampler draws.
#include "contract.cuh"

namespace kvlab::KVLAB_KERNELS {

// The weights are made by all threads. The chains of partial sums are one thread's: each
// partial sum is a threshold, so their order is part of the result, and a tree would have other
// roundings. One block of 2^n threads, at most 1024.
__global__ void sample_token(SampleArgs args) {
    __shared__ float largest[1024];
    const int t = threadIdx.x, count = args.count;
    float maximum = exp2_parts(args.logits[smaller(t, count - 1)] * args.scale).n;
    for (int i = t; i < count; i += blockDim.x) {
        const float n = exp2_parts(args.logits[i] * args.scale).n;
        maximum = n > maximum ? n : maximum;
    }
    largest[t] = maximum;
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (t < half && largest[t + half] > largest[t]) largest[t] = largest[t + half];
    }
    __syncthreads();
    for (int i = t; i < count; i += blockDim.x) {
        const Exp2Parts parts = exp2_parts(args.logits[i] * args.scale);
        args.weights[i] = parts.p * pow2(parts.n - largest[0]);
    }
    __syncthreads();
    if (t != 0) return;
    float total = 0.0f;
    for (int i = 0; i < count; ++i) total = total + args.weights[i];
    const float threshold = args.uniform * total;
    float cumulative = 0.0f;
    int i = 0;
    for (; i + 1 < count; ++i) {
        cumulative = cumulative + args.weights[i];
        if (cumulative > threshold) break;
    }
    args.token[0] = i;
}

}  // namespace kvlab::KVLAB_KERNELS

#if KVLAB_HOST_CODE
KVLAB_LAUNCHABLE(sample_token)

namespace kvlab::kernels {

void launch_sample(const SampleArgs& args) {
    launch(sample_token, 1, 1024, 0, args);
}

}  // namespace kvlab::kernels
#endif
