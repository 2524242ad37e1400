// by_hand.cu - chapter 4: the small kernels of the chapter's worked examples.
#include <kvlab/cuda/kernel.hpp>

namespace kvlab::KVLAB_KERNELS {

// ANCHOR: twice
__global__ void twice(const float* in, float* out, int count) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) out[i] = 2.0f * in[i];
}

// ANCHOR_END: twice

// Wrong: the grid has more threads than there are numbers.
__global__ void twice_without_guard(const float* in, float* out, int) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    out[i] = 2.0f * in[i];
}

// ANCHOR: read_apart
__global__ void read_apart(const float* in, float* out, int first, int apart) {
    out[threadIdx.x] = in[first + apart * static_cast<int>(threadIdx.x)];
}

// ANCHOR_END: read_apart

__global__ void read_column(float* out, int width) {
    KVLAB_DYNAMIC_SHARED(float, tile);
    const int lane = threadIdx.x;
    tile[lane * width] = static_cast<float>(lane);
    __syncwarp();
    out[lane] = tile[(lane + 1) % 32 * width];  // what another lane has written
}

}  // namespace kvlab::KVLAB_KERNELS
