// elementwise.cu - chapter 4: what is done to each number by itself: a thread for each.
//
// Neighbouring threads have neighbouring numbers, so every request is as small as it can be.
// There is nothing to gain inside of them; a faster program has fewer of them, each doing more
// at a time, for every one reads and writes its rows once through global memory.
#include "contract.cuh"

namespace kvlab::KVLAB_KERNELS {

// y[r][i] += x[r][i]. Grid (width / threads, R), any block size; so for all kernels below.
__global__ void add_rows(const float* x, int x_stride, float* y, int y_stride, int width) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    const long long r = blockIdx.y;
    if (i < width) y[r * y_stride + i] = y[r * y_stride + i] + x[r * x_stride + i];
}

// hidden[r][i] = silu(gate) * up; gate_up [R, 2 width], gate first.
__global__ void swiglu_rows(
    const float* gate_up, int in_stride, float* hidden, int out_stride, int width) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    const long long r = blockIdx.y;
    if (i >= width) return;
    const float gate = gate_up[r * in_stride + i], up = gate_up[r * in_stride + width + i];
    hidden[r * out_stride + i] = silu(gate) * up;
}

// y[r][i] = gelu(x[r][i])
__global__ void gelu_rows(const float* x, int x_stride, float* y, int y_stride, int width) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    const long long r = blockIdx.y;
    if (i < width) y[r * y_stride + i] = gelu(x[r * x_stride + i]);
}

}  // namespace kvlab::KVLAB_KERNELS
