// argmax_1_naive.cu - chapter 4: the most likely token, by one thread.
//
// was           logits are copied to the host, 200 kB for SmolLM2's 49 152 tokens
// change        one thread looks through them where they are, and one number is copied
// why faster    it is not: one thread of a GPU is slow
// still bad     all the others wait
#include "contract.cuh"

namespace kvlab::KVLAB_KERNELS {

// best[0] = the lowest index among the largest values (rule 7). One thread.
__global__ void argmax_naive(const float* values, int count, int* best) {
    int index = 0;
    for (int i = 1; i < count; ++i)
        if (values[i] > values[index]) index = i;
    best[0] = index;
}

}  // namespace kvlab::KVLAB_KERNELS

#if KVLAB_HOST_CODE
KVLAB_LAUNCHABLE(argmax_naive)

namespace kvlab::kernels {

void launch_argmax_naive(const float* values, int count, int* best, unsigned threads) {
    launch(argmax_naive, 1, threads, 0, values, count, best);
}

}  // namespace kvlab::kernels
#endif
