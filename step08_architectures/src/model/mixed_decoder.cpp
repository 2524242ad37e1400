#include <kvlab/architectures/mixed_decoder.hpp>

#include <algorithm>

namespace kvlab {

MixedDecoder::MixedDecoder(std::shared_ptr<const MixedModel> model, Engine& engine)
    : Decoder((check(model != nullptr, "decoder: no model"), model->frame), engine),
      mixed_(std::move(model)) {
    check(engine.host_memory(), "mixers work in the memory of the CPU, not in that of ",
          engine.name());
}

std::unique_ptr<MixedStore> MixedDecoder::make_store(StateOptions options) const {
    if (options.capacity == 0) options.capacity = config().context;
    std::vector<std::unique_ptr<MixerState>> states;
    for (const auto& mixer : mixed_->mixers) states.push_back(mixer->make_state(options));
    return std::make_unique<MixedStore>(mixed_, kv_shape(), options.capacity,
                                        std::move(states));
}

// ANCHOR: mix
void MixedDecoder::mix(Index layer,
                       std::span<const SequenceStep> batch,
                       const View<const float>& x,
                       const View<float>& out) {
    const Mixer& mixer = *at(mixed_->mixers, layer);
    const Index R = x.dim(0), N = mixer.projected_width(), K = mixer.mixed_width();
    projected_.resize(std::max(projected_.size(), usize(R * N)));
    rows_.resize(std::max(rows_.size(), usize(R * K)));
    const View<float> projected(projected_.data(), {R, N}), mixed(rows_.data(), {R, K});
    mixer.project(engine(), x, projected);

    AttentionWork work;
    Index first = 0;
    for (const SequenceStep& step : batch) {
        auto* store = dynamic_cast<MixedStore*>(step.store);
        check(store != nullptr && &store->model() == mixed_.get(),
              "decoder: a model with mixers needs stores that are made for it");
        const Index end = first + std::ssize(step.tokens);
        const MixerCall call{engine(), engine().pool(), model().rope, store->next_position(),
                             layer,    store->states()};
        const AttentionWork one =
            mixer.remember(call, projected.slice(0, first, end), mixed.slice(0, first, end));
        work.pairs += one.pairs;
        work.bytes_read += one.bytes_read;
        work.bytes_written += one.bytes_written;
        if (layer + 1 == config().layers) store->take_step();
        first = end;
    }
    attended(layer, work);
    observe(Op::attention, layer, mixed);
    mixer.finish(engine(), mixed, out);
}

// ANCHOR_END: mix

}  // namespace kvlab
