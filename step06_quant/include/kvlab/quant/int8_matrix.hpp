// int8_matrix.hpp - chapter 6: weights as bytes with one scale per output, times activations as
// bytes with one scale per token (W8A8; Dettmers et al. 2022 call it vector-wise).
//
//   s_w[n] = max |w[n]| / 127      q_w[n][k] = nearest(w[n][k] / s_w[n])
//   s_x[r] = max |x[r]| / 127      q_x[r][k] = nearest(x[r][k] / s_x[r])
//   y[r][n] = (s_x[r] * s_w[n]) * float(sum over k of q_x[r][k] * q_w[n][k])
//
// The sum is exact; what follows it is one product of the scales, one conversion (to nearest,
// even) and one product, in this order. So a row's result depends on that row alone.
#pragma once

#include <span>
#include <vector>

#include <kvlab/quant/int8_kernels.hpp>
#include <kvlab/tensor/memory.hpp>
#include <kvlab/tensor/tensor.hpp>
#include <kvlab/tensor/thread_pool.hpp>
#include <kvlab/weights/weight_source.hpp>

namespace kvlab {

class Int8Matrix {
public:
    // Quantises tensors [n_i, K] with the same K, their outputs one after the other, from
    // whatever format they have. Throws Error for no tensors, for others than such matrices and
    // for K beyond kInt8Depth.
    Int8Matrix(std::span<const TensorInfo* const> parts, ThreadPool& pool);

    Index outputs() const { return outputs_; }  // N

    Index depth() const { return depth_; }  // K

    Index panels() const { return (outputs_ + kInt8Panel - 1) / kInt8Panel; }

    Index groups() const { return (depth_ + kInt8Group - 1) / kInt8Group; }

    const std::uint8_t* panel(Index p) const {
        return reinterpret_cast<const std::uint8_t*>(codes_.data()) +
               p * groups() * kInt8Panel * kInt8Group;
    }

    const float* scales(Index p) const { return scales_.data() + p * kInt8Panel; }

    // One weight's code and its output's scale.
    int code(Index n, Index k) const {
        return panel(n / kInt8Panel)[place(n % kInt8Panel, k)] - 128;
    }

    float scale(Index n) const { return at(scales_, n); }

    Index bytes() const;  // codes and scales, as allocated

private:
    static Index place(Index c, Index k) {
        return (k / kInt8Group * kInt8Panel + c) * kInt8Group + k % kInt8Group;
    }

    void set_output(Index n, std::span<const float> row);

    Index outputs_ = 0, depth_ = 0;
    Memory codes_;
    std::vector<float> scales_;  // [panels * 64]
};

// The rows of one product as bytes: scratch memory that grows and is used again.
class Int8Rows {
public:
    // Quantises x [R, K]. Numbers of at least `threshold` in magnitude are left out of the
    // bytes and kept as they are (LLM.int8; for each token apart, so that a row's bits do not
    // depend on its neighbours); 0: none.
    void set(const Int8Kernels& kernels,
             const View<const float>& x,
             float threshold,
             ThreadPool& pool);

    // y[R, N] = these rows times w transposed.
    void multiply(const Int8Kernels& kernels,
                  const Int8Matrix& w,
                  const View<float>& y,
                  ThreadPool& pool) const;

    // Of the R K numbers, those that were left out.
    Index outliers() const;

private:
    struct Row {
        float scale;
        std::int32_t start;  // -128 times the sum of the codes: see int8_kernels.hpp
        Index outliers;
    };

    void set_row(const Int8Kernels& kernels,
                 const View<const float>& x,
                 Index r,
                 float threshold);
    void multiply_rows(const Int8Kernels& kernels,
                       const Int8Matrix& w,
                       Index p,
                       Index first,
                       Index rows,
                       const View<float>& y) const;

    Index R_ = 0, K_ = 0, stride_ = 0;  // stride: K rounded up to whole groups
    std::vector<std::int8_t> codes_;    // [R, stride]
    std::vector<Row> rows_;             // [R]
    std::vector<std::int32_t>
        inputs_;                 // [R, K] which were left out, in order; empty if none can
    std::vector<float> values_;  // [R, K] and their numbers
    std::vector<float> rest_;    // [R, K] the row without them
};

// The definition, with plain loops: y[R, N] of x [R, K].
void int8_linear_plain(const Int8Matrix& w,
                       const View<const float>& x,
                       float threshold,
                       const View<float>& y);

}  // namespace kvlab
