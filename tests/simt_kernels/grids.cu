// grids.cu - wrong kernels: blocks that should have met, or do not. FAULT and OTHER as in
// races.cu and waiting.cu.
#include <kvlab/cuda/kernel.hpp>

namespace kvlab::KVLAB_KERNELS {

__global__ void no_grid_barrier(const float* in, float* out, int* counts, int) {
    const unsigned b = blockIdx.x, i = threadIdx.x;
    if (i == 0) counts[b] = static_cast<int>(in[b]);  // OTHER
    __syncthreads();
    if (i == 0 && b == 1) out[b] = static_cast<float>(counts[0]);  // FAULT
    cooperative_groups::this_grid().sync();
}

// The second round writes what other blocks still read in the first.
__global__ void one_grid_barrier_missing(const float*, float* out, int* counts, int) {
    const unsigned b = blockIdx.x, i = threadIdx.x;
    if (i == 0) counts[b] = static_cast<int>(b);
    cooperative_groups::this_grid().sync();
    int sum = 0;
    for (unsigned other = 0; other < gridDim.x; ++other) sum += counts[other];  // FAULT
    __syncthreads();
    if (i == 0) counts[b] = sum;  // OTHER
    if (i == 0) out[b] = static_cast<float>(sum);
}

__global__ void block_has_returned(const float*, float*, int*, int) {
    if (blockIdx.x == 1) return;
    cooperative_groups::this_grid().sync();  // FAULT
}

__global__ void thread_misses_the_grid(const float*, float*, int*, int) {
    if (threadIdx.x == 5) return;
    cooperative_groups::this_grid().sync();  // FAULT
}

__global__ void block_or_grid(const float*, float*, int*, int) {
    if (threadIdx.x < 16)
        __syncthreads();  // OTHER
    else
        cooperative_groups::this_grid().sync();  // FAULT
}

__global__ void blocks_at_two_barriers(const float*, float*, int*, int) {
    if (blockIdx.x == 0)
        cooperative_groups::this_grid().sync();  // OTHER
    else
        cooperative_groups::this_grid().sync();  // FAULT
}

__global__ void shared_of_another_block(const float* in, float* out, int*, int) {
    __shared__ float row[32];
    if (blockIdx.x == 0) row[threadIdx.x] = in[threadIdx.x];
    cooperative_groups::this_grid().sync();
    if (blockIdx.x == 1) out[threadIdx.x] = row[threadIdx.x];  // FAULT
}

__global__ void not_launched_together(const float*, float*, int*, int) {
    cooperative_groups::this_grid().sync();  // FAULT
}

}  // namespace kvlab::KVLAB_KERNELS
