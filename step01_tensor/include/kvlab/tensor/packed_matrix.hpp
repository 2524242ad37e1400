// packed_matrix.hpp - chapter 1: weights laid out for the kernels, in the format of their file.
//
//   weights w [N, K]   ->   panels [N/64][K][64]: 64 outputs side by side, then the next k
//
//        k=0: w[0][0] w[1][0] ... w[63][0]  |  k=1: w[0][1] w[1][1] ... w[63][1]  |  ...
//             `---- one register's load ----'
//
// Lanes are different outputs, so each output is still one chain over k, in order.
//
// A format with blocks of 32 keeps them: a panel is groups of 32 inputs, and a group holds
//
//   Q8_0   64 scales d (f16) |                         | codes [32][64], one byte each
//   Q4_0   64 scales d (f16) |                         | codes [4][64] words of eight codes
//   Q4_1   64 scales d (f16) | 64 smallest values m    | codes [4][64] words of eight codes
//
// and Q4_K's group has 256 inputs:
//
//   Q4_K   64 d (f16) | 64 dmin (f16) | scales [3][64] words | codes [8][4][64] words
//
// the same bytes as in the file, in another order: the model takes no more memory than its
// file, and a token reads no more than that.
#pragma once

#include <memory>
#include <span>

#include <kvlab/tensor/memory.hpp>
#include <kvlab/tensor/tensor.hpp>
#include <kvlab/tensor/tensor_kernels.hpp>
#include <kvlab/tensor/tensor_type.hpp>

namespace kvlab {

// A weight matrix [N, K] in panels; the last panel is padded with zeros.
class PackedMatrix {
public:
    PackedMatrix() = default;
    // Outputs to be set; their memory comes from the pool, if there is one. Throws Error unless
    // both are positive and depth is a multiple of the type's block, and as Memory does.
    PackedMatrix(Index outputs,
                 Index depth,
                 TensorType type = TensorType::f32,
                 MemoryPool* pool = nullptr);
    PackedMatrix(PackedMatrix&&) noexcept = default;
    PackedMatrix& operator=(PackedMatrix&&) noexcept = default;

    // Packs a whole matrix w [N, K] as f32.
    static PackedMatrix pack(const View<const float>& w);

    // Sets the outputs [first, first + n) from n rows of this type's bytes: for reading a file
    // in pieces, and for laying several matrices with the same input one after the other.
    void set_outputs(Index first, std::span<const std::byte> rows);

    TensorType type() const { return type_; }

    Index outputs() const { return outputs_; }  // N

    Index depth() const { return depth_; }  // K

    Index panels() const { return blocks_for(outputs_, kPanel); }

    // Where input k of panel p is; k is a multiple of the type's block.
    const std::byte* panel(Index p, Index k = 0) const {
        return data_.get() + p * panel_bytes_ + k / block_ * group_bytes_;
    }

    Index bytes() const { return panels() * panel_bytes_; }

    // The weights of one output, contract rule 6: row `output` of w. out has K elements.
    void read(Index output, std::span<float> out) const;

private:
    Index outputs_ = 0, depth_ = 0;
    TensorType type_ = TensorType::f32;
    Index block_ = 1;        // inputs per group: 32, 256, or 1 for the plain types
    Index group_bytes_ = 0;  // of 64 columns
    Index panel_bytes_ = 0;
    std::shared_ptr<std::byte> data_;
};

}  // namespace kvlab
