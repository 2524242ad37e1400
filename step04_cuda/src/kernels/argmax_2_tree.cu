// argmax_2_tree.cu - chapter 4: the most likely token, by a block of threads.
//
// was           one thread
// change        each thread looks through its share; then half of the threads compare with the
//               other half, again and again. With "larger, or equal and of lower index" the
//               winner does not depend on who met whom
// why faster    1024 threads look at a time, neighbours at neighbours
// still bad     one block: one of a GPU's hundred processors
#include "contract.cuh"

namespace kvlab::KVLAB_KERNELS {

// best[0] = the lowest index among the largest values (rule 7). One block of 2^n threads, at
// most 1024.
// ANCHOR: argmax
__global__ void argmax_tree(const float* values, int count, int* best) {
    __shared__ float largest[1024];
    __shared__ int index[1024];
    const int t = threadIdx.x;
    // SOLUTION-BEGIN 4.4
    int mine = smaller(t, count - 1);
    float best_value = values[mine];
    for (int i = t + blockDim.x; i < count; i += blockDim.x) {
        const float value = values[i];
        if (value > best_value) {
            best_value = value;
            mine = i;
        }
    }
    largest[t] = best_value;
    index[t] = mine;
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        __syncthreads();
        if (t >= half) continue;
        const bool better = largest[t + half] > largest[t] ||
                            (!(largest[t] > largest[t + half]) && index[t + half] < index[t]);
        if (better) {
            largest[t] = largest[t + half];
            index[t] = index[t + half];
        }
    }
    if (t == 0) best[0] = index[0];
    // SOLUTION-END 4.4
}

// ANCHOR_END: argmax

}  // namespace kvlab::KVLAB_KERNELS

#if KVLAB_HOST_CODE
KVLAB_LAUNCHABLE(argmax_tree)

namespace kvlab::kernels {

void launch_argmax_tree(const float* values, int count, int* best, unsigned threads) {
    launch(argmax_tree, 1, threads, 0, values, count, best);
}

}  // namespace kvlab::kernels
#endif
