// recorder.hpp - chapter 3: an observer that keeps every number of a step, to compare it with
// another run's.
#pragma once

#include <utility>
#include <vector>

#include <kvlab/attention/observer.hpp>

namespace kvlab {

// What one operator produced in one step of one sequence.
struct OpRecord {
    Op op;
    Index layer;                   // -1 outside of the layers
    std::vector<Index> positions;  // [R] of the rows
    Index width;
    std::vector<float> rows;  // [R, width]

    std::span<const float> row(Index r) const {
        return std::span(rows).subspan(usize(r * width), usize(width));
    }
};

// The operators in the order in which the decoder ran them.
using StepRecord = std::vector<OpRecord>;

// For decoders that run one sequence: the rows of the logits are then the last positions.
class Recorder final : public Observer {
public:
    void on(Op op,
            Index layer,
            const View<const float>& rows,
            std::span<const Index> positions) override;

    const StepRecord& step() const { return step_; }

    StepRecord take() { return std::exchange(step_, {}); }

private:
    StepRecord step_;
};

// The positions of `rows` rows: all of them, or, of the rows that want logits, the last.
inline std::span<const Index> positions_of(Index rows, std::span<const Index> positions) {
    return positions.last(usize(rows));
}

}  // namespace kvlab
