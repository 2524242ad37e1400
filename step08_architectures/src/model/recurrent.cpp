#include <kvlab/architectures/recurrent.hpp>

#include <algorithm>

namespace kvlab {

namespace {

constexpr Index kBorder = 64;  // a copy of the state is kept where a multiple of it begins

}  // namespace

std::unique_ptr<MixerState> RecurrentMixer::make_state(const StateOptions& options) const {
    return std::make_unique<RecurrentState>(*this, options);
}

AttentionWork RecurrentMixer::remember(const MixerCall& call,
                                       const View<float>& rows,
                                       const View<float>& mixed) const {
    auto& state = static_cast<RecurrentState&>(*at(call.states, call.layer));
    state.run(call.engine, rows, mixed);
    const Index bytes = rows.dim(0) * state_bytes(0);
    return {0, bytes, bytes};
}

Index RecurrentMixer::rewind_bytes(Index rewind) const {
    if (rewind == 0) return 0;
    const Index copies = (rewind - 1 + kBorder - 1) / kBorder + 1;
    return copies * (state_floats() + kBorder * projected_width()) * Index{sizeof(float)};
}

std::vector<float> load_columns(TensorLoader& load, const std::string& name, Index n, Index k) {
    const Tensor rows = load.floats(name, {n, k});
    std::vector<float> columns(usize(n * k));
    for (Index i = 0; i < n; ++i)
        for (Index j = 0; j < k; ++j) at(columns, j * n + i) = rows.data()[i * k + j];
    return columns;
}

RecurrentState::RecurrentState(const RecurrentMixer& mixer, const StateOptions& options)
    : mixer_(mixer),
      options_(options),
      kernels_(state_kernels(options.level)),
      floats_(usize(mixer.state_floats())) {
    check(options.rewind >= 0, "recurrent state: rewind: expected at least 0, found ",
          options.rewind);
    check(options.rewind == 0 || options.engine != nullptr,
          "recurrent state: to go back it needs an engine");
    mixer.begin(floats_);
}

void RecurrentState::opened(Index) {
    before_ = floats_;
    open_ = true;
}

// ANCHOR: run
void RecurrentState::run(Engine& engine, const View<float>& rows, const View<float>& mixed) {
    const Index T = rows.dim(0);
    for (Index first = 0; first < T;) {
        const Index end = std::min(T, first + kBorder - length_ % kBorder);
        const View<float> part = rows.slice(0, first, end);
        if (options_.rewind > 0) keep(part, length_);
        mixer_.run(engine, kernels_, floats_, part, mixed.slice(0, first, end));
        length_ += end - first;
        first = end;
    }
}

// ANCHOR_END: run

void RecurrentState::keep(const View<const float>& rows, Index position) {
    // SOLUTION-BEGIN 8.6
    if (position % kBorder == 0) {
        copies_.push_back({position, floats_, {}});
        copies_.back().rows.reserve(usize(kBorder * mixer_.projected_width()));
    }
    const auto flat = rows.flat();
    copies_.back().rows.insert(copies_.back().rows.end(), flat.begin(), flat.end());
    // SOLUTION-END 8.6
}

void RecurrentState::closed(Index length) {
    open_ = false;
    while (copies_.size() > 1 && copies_[1].position <= length - options_.rewind)
        copies_.pop_front();
}

void RecurrentState::check_truncate(Index length, Index to) const {
    if (to == length || to == 0) return;
    check(!copies_.empty() && copies_.front().position <= to,
          "recurrent state: cannot go back from ", length, " tokens to ", to,
          ": each token has overwritten it, and copies are kept ",
          options_.rewind > 0 ? concat("from token ", copies_.front().position, " on")
                              : std::string("by StateOptions::rewind alone"));
}

void RecurrentState::dropped(Index to) noexcept {
    if (open_) {
        floats_ = before_;
        open_ = false;
        while (!copies_.empty() && copies_.back().position >= to) copies_.pop_back();
        if (!copies_.empty())
            copies_.back().rows.resize(
                usize((to - copies_.back().position) * mixer_.projected_width()));
        length_ = to;
        return;
    }
    if (to != length_) go_back(to);
}

void RecurrentState::go_back(Index to) {
    if (to == 0) {
        std::ranges::fill(floats_, 0.0f);
        mixer_.begin(floats_);
        copies_.clear();
        length_ = 0;
        return;
    }
    // SOLUTION-BEGIN 8.6
    while (copies_.back().position > to) copies_.pop_back();
    Copy& last = copies_.back();
    const Index T = to - last.position, N = mixer_.projected_width();
    last.rows.resize(usize(T * N));
    floats_ = last.floats;
    length_ = to;
    if (T == 0) {
        copies_.pop_back();  // the next token makes it again
        return;
    }
    std::vector<float> rows = last.rows, mixed(usize(T * mixer_.mixed_width()));
    mixer_.run(*options_.engine, kernels_, floats_, View<float>(rows.data(), {T, N}),
               View<float>(mixed.data(), {T, mixer_.mixed_width()}));
    // SOLUTION-END 8.6
}

std::unique_ptr<MixerState> RecurrentState::copied() const {
    auto copy = std::make_unique<RecurrentState>(mixer_, options_);
    copy->floats_ = floats_;
    copy->length_ = length_;
    copy->copies_ = copies_;
    return copy;
}

KvBytes RecurrentState::bytes(Index) const {
    constexpr Index kFloat = sizeof(float);
    Index kept = 0;
    for (const Copy& copy : copies_)
        kept += std::ssize(copy.floats) + static_cast<Index>(copy.rows.capacity());
    return {std::ssize(floats_) * kFloat,
            (std::ssize(floats_) + static_cast<Index>(before_.capacity()) + kept) * kFloat};
}

}  // namespace kvlab
