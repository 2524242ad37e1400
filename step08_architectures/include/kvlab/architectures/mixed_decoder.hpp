// mixed_decoder.hpp - chapter 8: chapter 2's decoder with other mixers in the place of
// attention. Its stores are MixedStores.
#pragma once

#include <memory>
#include <vector>

#include <kvlab/architectures/mixed_model.hpp>
#include <kvlab/architectures/mixed_store.hpp>
#include <kvlab/attention/decoder.hpp>

namespace kvlab {

class MixedDecoder final : public Decoder {
public:
    MixedDecoder(std::shared_ptr<const MixedModel> model, Engine& engine);

    const MixedModel& mixed_model() const { return *mixed_; }

    // An empty memory for one text of this model. capacity 0: the model's context.
    std::unique_ptr<MixedStore> make_store(StateOptions options = {}) const;

private:
    void mix(Index layer,
             std::span<const SequenceStep> batch,
             const View<const float>& x,
             const View<float>& out) override;

    std::shared_ptr<const MixedModel> mixed_;
    std::vector<float> projected_, rows_;  // [R, N], [R, K], grown as needed
};

}  // namespace kvlab
