// elementwise.cu - chapter 4: what is done to each number by itself: a thread for each.
//
// Neighbouring threads have neighbouring numbers, so every request is as small as it can be.
// There is nothing to gain inside of them; a faster program has fewer of them, each doing more
// at a time, for every one reads and writes its rows once through global memory.
#include "contract.cuh"

namespace kvlab::KVLAB_KERNELS {

// y[r][i] += x[r][i]. Grid (width / threads, R), any block size; so for all kernels below.
__global__ void add_rows(ElementwiseArgs args) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    float* y = row(args.y, blockIdx.y);
    if (i < args.width) y[i] = y[i] + row(args.x, blockIdx.y)[i];
}

// y[r][i] = silu(gate) * up; x [R, 2 width], gate first.
__global__ void swiglu_rows(ElementwiseArgs args) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= args.width) return;
    const float* gate_up = row(args.x, blockIdx.y);
    row(args.y, blockIdx.y)[i] = silu(gate_up[i]) * gate_up[args.width + i];
}

// y[r][i] = gelu(x[r][i])
__global__ void gelu_rows(ElementwiseArgs args) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < args.width) row(args.y, blockIdx.y)[i] = gelu(row(args.x, blockIdx.y)[i]);
}

}  // namespace kvlab::KVLAB_KERNELS

#if KVLAB_HOST_CODE
KVLAB_LAUNCHABLE(add_rows)
KVLAB_LAUNCHABLE(swiglu_rows)
KVLAB_LAUNCHABLE(gelu_rows)

namespace kvlab::kernels {

namespace {

void launch_rows(const Kernel<ElementwiseArgs>& kernel, const ElementwiseArgs& args) {
    launch(kernel, {groups(args.width, kThreads), groups(args.rows, 1)}, kThreads, 0, args);
}

}  // namespace

void launch_add(const ElementwiseArgs& args) {
    launch_rows(add_rows, args);
}

void launch_swiglu(const ElementwiseArgs& args) {
    launch_rows(swiglu_rows, args);
}

void launch_gelu(const ElementwiseArgs& args) {
    launch_rows(gelu_rows, args);
}

}  // namespace kvlab::kernels
#endif
