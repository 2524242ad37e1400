// travel.hpp - chapter 7: columns of an activation that are spread over the ranks.
//
// An activation is [R, N], one row for each token of the step, and a rank has some of its
// columns. A gather moves contiguous numbers, so they are packed before and put in place after.
#pragma once

#include <memory>
#include <vector>

#include <kvlab/attention/engine.hpp>
#include <kvlab/serving/parallel_plan.hpp>
#include <kvlab/serving/ranks.hpp>

namespace kvlab {

// An engine's memory that grows as it is needed.
class Scratch {
public:
    explicit Scratch(Engine& engine) : engine_(engine) {}

    float* floats(Index count);

    View<float> rows(Index R, Index width) { return {floats(R * width), {R, width}}; }

private:
    Engine& engine_;
    std::unique_ptr<Buffer> buffer_;
};

class Travel {
public:
    Travel(Engine& engine, Ranks& ranks)
        : ranks_(ranks), packed_(engine), all_(engine), whole_(engine) {}

    Ranks& ranks() { return ranks_; }

    // Each rank has the columns columns[rank] of `mine` [R, N]. Afterwards `whole` [R, N] has
    // all of them on every rank; it may be the same memory.
    void gather_columns(const std::vector<Range>& columns,
                        const View<const float>& mine,
                        const View<float>& whole);

    // The same into memory of its own, valid until the next call.
    View<const float> gathered(const std::vector<Range>& columns,
                               const View<const float>& mine);

    // Each rank has the columns has[rank] of x [R, N] and needs the columns needs[rank]. Those
    // that it lacks come from the ranks that have them. x itself if nobody lacks any.
    View<const float> lent(const std::vector<Range>& has,
                           const std::vector<Range>& needs,
                           const View<const float>& x);

    // counts[rank] numbers of each rank, one after the other; valid until the next call.
    std::span<const float> gather(std::span<const float> mine, std::span<const Index> counts);

private:
    std::span<float> pack(const View<const float>& x, Range columns);
    void lend(Index from,
              Index to,
              Range columns,
              const View<const float>& x,
              const View<float>& whole);

    Ranks& ranks_;
    Scratch packed_, all_, whole_;
    std::vector<Index> counts_;  // [ranks]
};

}  // namespace kvlab
