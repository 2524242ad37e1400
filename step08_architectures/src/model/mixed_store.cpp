#include <kvlab/architectures/mixed_store.hpp>

namespace kvlab {

MixedStore::MixedStore(std::shared_ptr<const MixedModel> model,
                       const KvShape& shape,
                       Index capacity,
                       std::vector<std::unique_ptr<MixerState>> states)
    : SteppedStore("mixers' memory", shape, capacity),
      model_(std::move(model)),
      states_(std::move(states)) {
    check(model_ != nullptr, name(), ": no model");
    check(std::ssize(states_) == shape.layers, name(), ": expected ", shape.layers,
          " states, found ", std::ssize(states_));
}

void MixedStore::opened(Index T) {
    for (const auto& state : states_) state->opened(T);
}

void MixedStore::write_rows(Index, const View<const float>&, const View<const float>&) {
    throw Error("mixers' memory: only a MixedDecoder can fill it");
}

AttentionWork MixedStore::attend_rows(Index,
                                      const View<const float>&,
                                      const View<float>&,
                                      ThreadPool&) {
    throw Error("mixers' memory: only a MixedDecoder can read it");
}

void MixedStore::closed() {
    for (const auto& state : states_) state->closed(length() + pending());
}

void MixedStore::check_truncate(Index to) const {
    for (const auto& state : states_) state->check_truncate(length(), to);
}

void MixedStore::dropped(Index to) noexcept {
    for (const auto& state : states_) state->dropped(to);
}

std::unique_ptr<SteppedStore> MixedStore::copied() const {
    std::vector<std::unique_ptr<MixerState>> states;
    states.reserve(states_.size());
    for (const auto& state : states_) states.push_back(state->copied());
    return std::make_unique<MixedStore>(model_, shape(), capacity(), std::move(states));
}

KvBytes MixedStore::bytes() const {
    KvBytes all;
    for (const auto& state : states_) {
        const KvBytes one = state->bytes(length());
        all.logical += one.logical;
        all.allocated += one.allocated;
    }
    return all;
}

}  // namespace kvlab
