// rank_matrix.hpp - chapter 7: what one rank keeps of a weight matrix.
//
// What a matrix is for says how it is split, and its tensors' names say what it is for.
#pragma once

#include <span>
#include <vector>

#include <kvlab/attention/engine.hpp>
#include <kvlab/serving/parallel_plan.hpp>

namespace kvlab {

enum class Role {
    vocabulary,  // embedding or output matrix: tokens are split
    whole,       // learned positions: a row is looked up, never multiplied with
    heads,       // queries, keys, values: outputs stay on their ranks
    hidden,      // gate and up: outputs stay on their ranks
    from_heads,  // the output projection: its input is spread over the ranks
    from_hidden  // the down projection: the same
};

// Some rows of the matrix, or some of its columns (a block of a sum).
struct Piece {
    Range part;   // rows [first, first + count) of the whole; or inputs, of a block
    Index place;  // the column of y where its outputs begin
    std::unique_ptr<Matrix> matrix;
};

class RankMatrix final : public Matrix {
public:
    RankMatrix(Role kind, Index all_outputs, Index all_inputs)
        : role(kind), outputs_(all_outputs), depth_(all_inputs) {}

    // Of the whole matrix; `bytes` are those that this rank keeps.
    Index outputs() const override { return outputs_; }

    Index depth() const override { return depth_; }

    Index bytes() const override;

    Role role;
    std::vector<Piece> pieces;

private:
    Index outputs_, depth_;
};

// This rank's pieces, loaded by its own engine. Throws Error for a tensor that no role is known
// of, and as Engine::load_matrix() does.
std::unique_ptr<RankMatrix> load_rank_matrix(Engine& engine,
                                             const ParallelPlan& plan,
                                             Index rank,
                                             SumWay way,
                                             std::span<const TensorInfo* const> parts);

}  // namespace kvlab
