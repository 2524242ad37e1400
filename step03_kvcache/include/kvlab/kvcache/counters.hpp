// counters.hpp - chapter 3: an observer that counts the work while it is done.
#pragma once

#include <memory>

#include <kvlab/attention/model.hpp>
#include <kvlab/attention/observer.hpp>
#include <kvlab/kvcache/work.hpp>

namespace kvlab {

// Attach to a decoder of this model with Decoder::set_observer(). Rows are counted as operators
// hand them over, pairs of query and slot where attention weighs them: a store that forgets, or
// a loop that feeds too much, shows up here even though no bit of any logit changes.
class Counters final : public Observer {
public:
    explicit Counters(std::shared_ptr<const Model> model) : model_(std::move(model)) {}

    void on(Op op,
            Index layer,
            const View<const float>& rows,
            std::span<const Index> positions) override;
    void attended(Index layer, const AttentionWork& work) override;

    const Work& work() const { return work_; }

    void reset() { work_ = {}; }

private:
    std::shared_ptr<const Model> model_;
    Work work_;
};

}  // namespace kvlab
