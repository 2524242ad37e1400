// matmul.hpp - chapter 1: the matrix product at full speed, with the bits of matmul_plain().
#pragma once

#include <kvlab/tensor/packed_matrix.hpp>
#include <kvlab/tensor/tensor.hpp>
#include <kvlab/tensor/tensor_kernels.hpp>
#include <kvlab/tensor/thread_pool.hpp>

namespace kvlab {

// y[T, N] = x[T, K] * w transposed, bit for bit matmul_plain() on the weights that w.read()
// gives, whatever their format. Rows of x and y must be contiguous.
void matmul(const TensorKernels& kernels,
            ThreadPool& pool,
            const View<const float>& x,
            const PackedMatrix& w,
            const View<float>& y);

}  // namespace kvlab
