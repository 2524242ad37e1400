// elementwise.cu - chapter 4: what is done to each number by itself: a thread for each.
//
// Neighbouring threads have neighbouring numbers, so every request is as small as it can be.
// There is nothing to gain inside of them; a faster program has fewer of them, each doing more
// at a time, for every one reads and writes its rows once through global memory.
#include "contract.cuh"

namespace kvlab::KVLAB_KERNELS {

// y[r][i] += x[r][i]. Grid (width / threads, R), any block size; so for all kernels below.
__global__ void add_rows(RowsArgs args) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    const long long r = blockIdx.y;
    float* y = args.y + r * args.y_stride;
    if (i < args.width) y[i] = y[i] + args.x[r * args.x_stride + i];
}

// y[r][i] = silu(gate) * up; x [R, 2 width], gate first.
__global__ void swiglu_rows(RowsArgs args) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    const long long r = blockIdx.y;
    if (i >= args.width) return;
    const float* gate_up = args.x + r * args.x_stride;
    args.y[r * args.y_stride + i] = silu(gate_up[i]) * gate_up[args.width + i];
}

// y[r][i] = gelu(x[r][i])
__global__ void gelu_rows(RowsArgs args) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    const long long r = blockIdx.y;
    if (i < args.width) args.y[r * args.y_stride + i] = gelu(args.x[r * args.x_stride + i]);
}

}  // namespace kvlab::KVLAB_KERNELS

#if KVLAB_HOST_CODE
KVLAB_LAUNCHABLE(add_rows)
KVLAB_LAUNCHABLE(swiglu_rows)
KVLAB_LAUNCHABLE(gelu_rows)

namespace kvlab::kernels {

namespace {

void launch_rows(const Kernel<RowsArgs>& kernel, const RowsArgs& args) {
    launch(kernel, {groups(args.width, kThreads), groups(args.rows, 1)}, kThreads, 0, args);
}

}  // namespace

void launch_add(const RowsArgs& args) {
    launch_rows(add_rows, args);
}

void launch_swiglu(const RowsArgs& args) {
    launch_rows(swiglu_rows, args);
}

void launch_gelu(const RowsArgs& args) {
    launch_rows(gelu_rows, args);
}

}  // namespace kvlab::kernels
#endif
