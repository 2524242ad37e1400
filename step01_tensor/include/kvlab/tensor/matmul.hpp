// matmul.hpp - chapter 1: the matrix product at full speed, with the bits of matmul_plain().
//
//   weights w [N, K]   ->   panels [N/64][K][64]: 64 outputs side by side, then the next k
//
//        k=0: w[0][0] w[1][0] ... w[63][0]  |  k=1: w[0][1] w[1][1] ... w[63][1]  |  ...
//             `---- one register's load ----'
//
// Lanes are different outputs, so each output is still one chain over k, in order.
#pragma once

#include <kvlab/tensor/tensor.hpp>
#include <kvlab/tensor/tensor_kernels.hpp>
#include <kvlab/tensor/thread_pool.hpp>

namespace kvlab {

// A weight matrix [N, K] in panels; the last panel is padded with zeros.
class PackedMatrix {
public:
    PackedMatrix() = default;
    // Zeros. Throws Error unless both are positive.
    PackedMatrix(Index outputs, Index depth);

    // Packs a whole matrix w [N, K].
    static PackedMatrix pack(View<const float> w);

    // Sets the outputs [first, first + w.dim(0)) from w [n, K]: for reading a file in pieces,
    // and for laying several matrices with the same input one behind the other.
    void set_outputs(Index first, View<const float> w);

    Index outputs() const { return outputs_; }  // N

    Index depth() const { return depth_; }  // K

    Index panels() const { return (outputs_ + kPanel - 1) / kPanel; }

    const float* panel(Index p) const { return data_.data() + p * depth_ * kPanel; }

    Index bytes() const { return data_.size() * static_cast<Index>(sizeof(float)); }

    float at(Index output, Index k) const;  // one weight, for tests and tracing

private:
    Index outputs_ = 0, depth_ = 0;
    Tensor data_;  // [panels, K, 64]
};

// y[T, N] = x[T, K] * w transposed, bit for bit matmul_plain(). Rows of x and y must be
// contiguous.
void matmul(const TensorKernels& kernels,
            ThreadPool& pool,
            View<const float> x,
            const PackedMatrix& w,
            View<float> y);

}  // namespace kvlab
