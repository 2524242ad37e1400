// device_matrix.hpp - chapter 4: a weight matrix in device memory.
#pragma once

#include <kvlab/attention/engine.hpp>
#include <kvlab/cuda/device_memory.hpp>
#include <kvlab/tensor/packed_matrix.hpp>

namespace kvlab {

namespace kernels {
struct Weights;
}  // namespace kernels

// rows: [N][K], floats, as textbooks write it. panels: chapter 1's [N/64][K][64], in the format
// of the file, or as floats if the kernels do not read that one (Q4_K).
enum class MatrixLayout { rows, panels };

class DeviceMatrix final : public Matrix {
public:
    // Copies the weights to the device, where they are read-only from then on.
    DeviceMatrix(const PackedMatrix& packed, MatrixLayout layout);

    Index outputs() const override { return outputs_; }

    Index depth() const override { return depth_; }

    Index bytes() const override { return words_.size() * Index{sizeof(unsigned)}; }

    MatrixLayout layout() const { return layout_; }

    // As kernels see it. Throws Error if they cannot count so far.
    kernels::Weights weights() const;

private:
    Index outputs_, depth_;
    MatrixLayout layout_;
    TensorType type_;
    Index panel_bytes_;
    DeviceArray<unsigned> words_;  // every layout is a whole number of these
};

// A matrix that an engine has loaded, as what it is. Throws Error if it is another engine's.
const DeviceMatrix& device_matrix(const Matrix& matrix);

}  // namespace kvlab
