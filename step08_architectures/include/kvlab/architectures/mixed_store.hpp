// mixed_store.hpp - chapter 8: the memory of one text, a state for each layer, on chapter 2's
// step protocol. To a decoder of chapter 2 it is a store like any other, so everything that was
// written for caches (generating, scoring, verifying, measuring) works with it.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include <kvlab/architectures/mixed_model.hpp>
#include <kvlab/attention/stepped_store.hpp>

namespace kvlab {

class MixedStore final : public SteppedStore {
public:
    // One state for each layer's mixer of the model, which lives as long as they do.
    MixedStore(std::shared_ptr<const MixedModel> model,
               const KvShape& shape,
               Index capacity,
               std::vector<std::unique_ptr<MixerState>> states);

    const MixedModel& model() const { return *model_; }

    // [L]; for the decoder, while a step is open.
    std::span<const std::unique_ptr<MixerState>> states() const { return states_; }

    // The decoder has run the open step through all layers.
    void take_step() { take_all_rows(); }

    KvBytes bytes() const override;

private:
    void opened(Index T) override;
    void write_rows(Index layer,
                    const View<const float>& k,
                    const View<const float>& v) override;
    AttentionWork attend_rows(Index layer,
                              const View<const float>& q,
                              const View<float>& out,
                              ThreadPool& pool) override;
    void closed() override;
    void check_truncate(Index length) const override;
    void dropped(Index length) noexcept override;
    std::unique_ptr<SteppedStore> copied() const override;

    std::shared_ptr<const MixedModel> model_;
    std::vector<std::unique_ptr<MixerState>> states_;
};

}  // namespace kvlab
