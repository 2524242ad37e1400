// async.cu - right kernels with asynchronous copies and grid barriers.
#include <kvlab/cuda/kernel.hpp>

namespace kvlab::KVLAB_KERNELS {

// One copy of 4 bytes per thread, read by its neighbour; threads past n copy zeros alone.
__global__ void copies_one_float(const float* in, float* out, int*, int n) {
    __shared__ float row[64];
    const int i = static_cast<int>(threadIdx.x);
    __pipeline_memcpy_async(&row[i], &in[i < n ? i : 0], 4, i < n ? 0 : 4);
    __pipeline_commit();
    __pipeline_wait_prior(0);
    __syncthreads();
    if (i < n) out[i] = row[i ^ 1];
}

// Rows of 4 floats per thread and round, two buffers: the copy of the next round is in flight
// while this one's is summed.
__global__ void double_buffer(const float* in, float* out, int*, int n) {
    __shared__ __align__(16) float rows[2][32][4];
    const int rounds = n / 128, i = static_cast<int>(threadIdx.x);
    float sum = 0.0f;
    __pipeline_memcpy_async(rows[0][i], in + 4 * i, 16);
    __pipeline_commit();
    for (int r = 0; r < rounds; ++r) {
        if (r + 1 < rounds)
            __pipeline_memcpy_async(rows[(r + 1) % 2][i], in + 128 * (r + 1) + 4 * i, 16);
        __pipeline_commit();
        __pipeline_wait_prior(1);
        __syncthreads();
        for (int k = 0; k < 4; ++k) sum += rows[r % 2][i ^ 1][k];
        __syncthreads();
    }
    out[i] = sum;
}

// Pairs of floats, the second of which does not exist.
__global__ void copies_half(const float* in, float* out, int*, int) {
    __shared__ __align__(8) float pairs[32][2];
    const int i = static_cast<int>(threadIdx.x);
    __pipeline_memcpy_async(pairs[i], in + 2 * i, 8, 4);
    __pipeline_commit();
    __pipeline_wait_prior(0);
    out[2 * i] = pairs[i][0];
    out[2 * i + 1] = pairs[i][1];
}

// What has arrived before the first wait: nothing. `counts` gets how many threads found what
// they had written before, or the bytes of the copy.
__global__ void looks_too_early(const float* in, float*, int* counts, int) {
    __shared__ float row[32];
    const int i = static_cast<int>(threadIdx.x);
    row[i] = 3.0f;
    __pipeline_memcpy_async(&row[i], &in[i], 4);
    __pipeline_commit();
    __pipeline_wait_prior(1);
    const float found = row[i];
    __pipeline_wait_prior(0);
    if (found == 3.0f || found == in[i]) atomicAdd(&counts[0], 1);
    if (row[i] == in[i]) atomicAdd(&counts[1], 1);
}

// Every block adds up what all blocks have left in the round before.
__global__ void rounds_of_a_grid(const float* in, float* out, int*, int) {
    __shared__ float kept[32];
    const auto grid = cooperative_groups::this_grid();
    const unsigned blocks = gridDim.x, b = blockIdx.x, i = threadIdx.x;
    kept[i] = in[i] + static_cast<float>(b);
    out[b * 32 + i] = kept[i];
    for (int round = 0; round < 3; ++round) {
        grid.sync();
        float sum = 0.0f;
        for (unsigned other = 0; other < blocks; ++other) sum += out[other * 32 + (i ^ 1u)];
        grid.sync();
        kept[i] += sum;
        __syncthreads();
        out[b * 32 + i] = kept[i ^ 1u];
    }
}

// Dynamic shared memory is each block's own, too, and so is what a copy will write.
__global__ void keeps_its_shared_memory(const float* in, float* out, int*, int) {
    KVLAB_DYNAMIC_SHARED(float, row);
    const unsigned b = blockIdx.x, i = threadIdx.x;
    row[i] = static_cast<float>(100 * b + i);
    __pipeline_memcpy_async(&row[32 + i], &in[32 * b + i], 4);
    __pipeline_commit();
    cooperative_groups::this_grid().sync();
    __pipeline_wait_prior(0);
    __syncthreads();
    out[32 * b + i] = row[i ^ 1u] + row[32 + (i ^ 2u)];
}

}  // namespace kvlab::KVLAB_KERNELS
