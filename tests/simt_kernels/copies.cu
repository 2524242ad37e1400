// copies.cu - wrong kernels: asynchronous copies. FAULT is what is reported when threads run in
// order, OTHER what it clashes with.
#include <kvlab/cuda/kernel.hpp>

namespace kvlab::KVLAB_KERNELS {

__global__ void reads_before_the_wait(const float* in, float* out, int*, int) {
    __shared__ float row[32];
    const unsigned i = threadIdx.x;
    __pipeline_memcpy_async(&row[i], &in[i], 4);  // OTHER
    __pipeline_commit();
    out[i] = row[i];  // FAULT
    __pipeline_wait_prior(0);
}

__global__ void overwrites_a_copy(const float* in, float* out, int*, int) {
    __shared__ float row[32];
    const unsigned i = threadIdx.x;
    __pipeline_memcpy_async(&row[i], &in[i], 4);  // OTHER
    __pipeline_commit();
    row[i] = 0.0f;  // FAULT
    __pipeline_wait_prior(0);
    out[i] = row[i];
}

// Two rounds are in flight, and the wait leaves both there.
__global__ void one_wait_too_few(const float* in, float* out, int*, int) {
    __shared__ float rows[2][32];
    const unsigned i = threadIdx.x;
    for (unsigned r = 0; r < 2; ++r) {
        __pipeline_memcpy_async(&rows[r][i], &in[32 * r + i], 4);  // OTHER
        __pipeline_commit();
    }
    __pipeline_wait_prior(1);
    __syncthreads();
    out[i] = rows[0][31 - i];
    __syncthreads();
    out[32 + i] = rows[1][31 - i];  // FAULT
    __pipeline_wait_prior(0);
}

__global__ void never_committed(const float* in, float* out, int*, int) {
    __shared__ float row[32];
    const unsigned i = threadIdx.x;
    __pipeline_memcpy_async(&row[i], &in[i], 4);  // OTHER
    __pipeline_wait_prior(0);
    out[i] = row[i];  // FAULT
}

// The last thread finds the first one's bytes, but nothing says that it had to.
__global__ void no_barrier_after_the_wait(const float* in, float* out, int*, int) {
    __shared__ float row[32];
    const unsigned i = threadIdx.x;
    __pipeline_memcpy_async(&row[i], &in[i], 4);
    __pipeline_commit();
    __pipeline_wait_prior(0);      // OTHER
    if (i == 31) out[i] = row[0];  // FAULT
}

__global__ void barrier_before_the_wait(const float* in, float* out, int*, int) {
    __shared__ float row[32];
    const unsigned i = threadIdx.x;
    __pipeline_memcpy_async(&row[i], &in[i], 4);
    __pipeline_commit();
    __syncthreads();
    __pipeline_wait_prior(0);      // OTHER
    if (i == 31) out[i] = row[0];  // FAULT
}

// The next copy begins while others may still read what it replaces.
__global__ void no_barrier_before_the_next_copy(const float* in, float* out, int*, int) {
    __shared__ float row[32];
    const unsigned i = threadIdx.x;
    row[i] = in[i];
    __syncthreads();
    out[i] = row[i ^ 1u];  // FAULT
    __pipeline_memcpy_async(&row[i], &in[32 + i], 4);
    __pipeline_commit();
    __pipeline_wait_prior(0);  // OTHER
}

__global__ void source_overwritten(const float*, float* out, int* counts, int) {
    __shared__ int row[32];
    const unsigned i = threadIdx.x;
    __pipeline_memcpy_async(&row[i], &counts[i], 4);  // OTHER
    __pipeline_commit();
    __syncthreads();
    counts[i] = 7;  // FAULT
    __pipeline_wait_prior(0);
    out[i] = static_cast<float>(row[i]);
}

// The wait is where the source was read, at the latest.
__global__ void source_overwritten_too_early(const float*, float* out, int* counts, int) {
    __shared__ int row[32];
    const unsigned i = threadIdx.x;
    __pipeline_memcpy_async(&row[i], &counts[i], 4);
    __pipeline_commit();
    __syncthreads();
    __pipeline_wait_prior(0);         // OTHER
    if (i == 31) counts[0] = row[i];  // FAULT
    out[i] = 0.0f;
}

__global__ void source_of_another_thread(const float*, float* out, int* counts, int) {
    __shared__ int row[32];
    const unsigned i = threadIdx.x;
    if (i == 0) counts[31] = 5;                       // OTHER
    __pipeline_memcpy_async(&row[i], &counts[i], 4);  // FAULT
    __pipeline_commit();
    __pipeline_wait_prior(0);
    out[i] = static_cast<float>(row[i]);
}

__global__ void source_never_written(const float*, float* out, int*, int) {
    __shared__ float row[32];
    const unsigned i = threadIdx.x;
    __pipeline_memcpy_async(&row[i], &out[i], 4);  // FAULT
    __pipeline_commit();
    __pipeline_wait_prior(0);
}

__global__ void copies_twelve_bytes(const float* in, float*, int*, int) {
    __shared__ __align__(16) float row[128];
    __pipeline_memcpy_async(&row[4 * threadIdx.x], &in[3 * threadIdx.x], 12);  // FAULT
    __pipeline_commit();
    __pipeline_wait_prior(0);
}

__global__ void more_zeros_than_bytes(const float* in, float*, int*, int) {
    __shared__ float row[32];
    __pipeline_memcpy_async(&row[threadIdx.x], &in[threadIdx.x], 4, 8);  // FAULT
    __pipeline_commit();
    __pipeline_wait_prior(0);
}

__global__ void source_misaligned(const float* in, float*, int*, int) {
    __shared__ __align__(16) float row[128];
    __pipeline_memcpy_async(&row[4 * threadIdx.x], &in[4 * threadIdx.x + 2], 16);  // FAULT
    __pipeline_commit();
    __pipeline_wait_prior(0);
}

// However few bytes are read, the source lies at a multiple of the size.
__global__ void zeros_do_not_align(const float* in, float*, int*, int) {
    __shared__ __align__(16) float row[128];
    __pipeline_memcpy_async(&row[4 * threadIdx.x], &in[threadIdx.x + 1], 16, 12);  // FAULT
    __pipeline_commit();
    __pipeline_wait_prior(0);
}

__global__ void target_misaligned(const float* in, float*, int*, int) {
    __shared__ __align__(16) float row[132];
    __pipeline_memcpy_async(&row[4 * threadIdx.x + 1], &in[0], 16);  // FAULT
    __pipeline_commit();
    __pipeline_wait_prior(0);
}

__global__ void copies_to_global(const float* in, float* out, int*, int) {
    __pipeline_memcpy_async(&out[threadIdx.x], &in[threadIdx.x], 4);  // FAULT
    __pipeline_commit();
    __pipeline_wait_prior(0);
}

__global__ void copies_from_shared(const float* in, float*, int*, int) {
    __shared__ float row[32], copy[32];
    row[threadIdx.x] = in[threadIdx.x];
    __pipeline_memcpy_async(&copy[threadIdx.x], &row[threadIdx.x], 4);  // FAULT
    __pipeline_commit();
    __pipeline_wait_prior(0);
}

__global__ void copies_past_the_end(const float* in, float*, int*, int n) {
    __shared__ float row[32];
    const int i = static_cast<int>(threadIdx.x);
    __pipeline_memcpy_async(&row[i], &in[n - 16 + i], 4);  // FAULT
    __pipeline_commit();
    __pipeline_wait_prior(0);
}

__global__ void copies_past_the_row(const float* in, float*, int*, int) {
    __shared__ float row[32];
    __pipeline_memcpy_async(&row[threadIdx.x + 1], &in[threadIdx.x], 4);  // FAULT
    __pipeline_commit();
    __pipeline_wait_prior(0);
}

__global__ void two_copies_to_one_place(const float* in, float*, int*, int) {
    __shared__ float row[32];
    __pipeline_memcpy_async(&row[threadIdx.x / 2], &in[threadIdx.x], 4);  // FAULT OTHER
    __pipeline_commit();
    __syncthreads();
    __pipeline_wait_prior(0);
}

__global__ void returns_with_a_copy(const float* in, float* out, int*, int) {
    __shared__ float row[32];
    __pipeline_memcpy_async(&row[threadIdx.x], &in[threadIdx.x], 4);  // FAULT
    __pipeline_commit();
    out[threadIdx.x] = 0.0f;
}

}  // namespace kvlab::KVLAB_KERNELS
