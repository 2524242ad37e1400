// transpose.cu - chapter 4: a matrix transposed by tiles; once right, twice not quite.
#include <kvlab/cuda/kernel.hpp>

namespace kvlab::KVLAB_KERNELS {

// ANCHOR: transpose
// The tile turns the matrix inside of shared memory, so that a warp reads a row of `in` and
// writes a row of `out`. The 33rd column puts the numbers of a column into different banks.
__global__ void transpose(const float* in, float* out, int rows, int columns) {
    __shared__ float tile[32][33];
    const int x = blockIdx.x * 32 + threadIdx.x, y = blockIdx.y * 32;
    for (int j = threadIdx.y; j < 32; j += 8)
        if (x < columns && y + j < rows) tile[j][threadIdx.x] = in[(y + j) * columns + x];
    __syncthreads();
    const int row = blockIdx.y * 32 + threadIdx.x, column = blockIdx.x * 32;
    for (int j = threadIdx.y; j < 32; j += 8)
        if (row < rows && column + j < columns)
            out[(column + j) * rows + row] = tile[threadIdx.x][j];
}

// ANCHOR_END: transpose

// Right, but slow: the numbers of a column lie in one bank.
__global__ void transpose_with_conflicts(const float* in, float* out, int rows, int columns) {
    __shared__ float tile[32][32];
    const int x = blockIdx.x * 32 + threadIdx.x, y = blockIdx.y * 32;
    for (int j = threadIdx.y; j < 32; j += 8)
        if (x < columns && y + j < rows) tile[j][threadIdx.x] = in[(y + j) * columns + x];
    __syncthreads();
    const int row = blockIdx.y * 32 + threadIdx.x, column = blockIdx.x * 32;
    for (int j = threadIdx.y; j < 32; j += 8)
        if (row < rows && column + j < columns)
            out[(column + j) * rows + row] = tile[threadIdx.x][j];
}

// Wrong: a thread reads what another one may not have written yet.
__global__ void transpose_without_barrier(const float* in, float* out, int rows, int columns) {
    __shared__ float tile[32][33];
    const int x = blockIdx.x * 32 + threadIdx.x, y = blockIdx.y * 32;
    for (int j = threadIdx.y; j < 32; j += 8)
        if (x < columns && y + j < rows) tile[j][threadIdx.x] = in[(y + j) * columns + x];
    const int row = blockIdx.y * 32 + threadIdx.x, column = blockIdx.x * 32;
    for (int j = threadIdx.y; j < 32; j += 8)
        if (row < rows && column + j < columns)
            out[(column + j) * rows + row] = tile[threadIdx.x][j];
}

}  // namespace kvlab::KVLAB_KERNELS
