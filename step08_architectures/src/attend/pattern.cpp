#include <kvlab/architectures/pattern.hpp>

#include <algorithm>

namespace kvlab {

void list_range(Index first, Index last, Index step, std::vector<Index>& list) {
    for (Index s = first; s <= last; s += step) list.push_back(s);
}

PatternState::PatternState(const Pattern& pattern,
                           Index kv_heads,
                           Index head_dim,
                           const StateOptions& options)
    : pattern_(pattern), options_(options), rows_(kv_heads, head_dim) {
    check(options.rewind >= 0, "rows of a pattern: rewind: expected at least 0, found ",
          options.rewind);
}

void PatternState::write(Index position,
                         const View<const float>& k,
                         const View<const float>& v) {
    check(position == rows_.end(), "rows of a pattern: expected position ", rows_.end(),
          ", found ", position);
    rows_.append(k, v);
}

AttentionWork PatternState::attend(ThreadPool& pool,
                                   const View<const float>& q,
                                   Index position,
                                   const View<float>& out) const {
    const auto list = [this](Index head, Index t, std::vector<Index>& to) {
        pattern_.list(head, t, to);
    };
    return attend_lists(options_.level, pool, rows_, list, q, position, out);
}

// ANCHOR: forget
void PatternState::closed(Index length) {
    const Index back = length - 1 - options_.rewind;  // what it saw, and later ones will see
    for (Index head = 0; head < rows_.kv_heads(); ++head) {
        Index first = rows_.first(head);
        for (; first < length; ++first) {
            const std::optional<Index> last = pattern_.last_reader(head, first);
            if (!last || *last >= back) break;
            oldest_ = std::max(oldest_, *last + 1);
        }
        rows_.forget(head, first);
    }
}

// ANCHOR_END: forget

void PatternState::check_truncate(Index length, Index to) const {
    check(to == 0 || to >= oldest_, "rows of a pattern: cannot go back from ", length,
          " tokens to ", to,
          ": the rows that its next token sees are forgotten. StateOptions::rewind, here ",
          options_.rewind, ", keeps more");
}

void PatternState::dropped(Index length) noexcept {
    rows_.drop(length);
    if (length == 0) oldest_ = 0;
}

std::unique_ptr<MixerState> PatternState::copied() const {
    auto copy =
        std::make_unique<PatternState>(pattern_, rows_.kv_heads(), rows_.head_dim(), options_);
    copy->rows_ = rows_.copied();
    copy->oldest_ = oldest_;
    return copy;
}

KvBytes PatternState::bytes(Index) const {
    return {rows_.held_bytes(), rows_.allocated_bytes()};
}

std::unique_ptr<Mixer> PatternAttention::load(std::unique_ptr<const Pattern> pattern,
                                              const MixerPlan& plan,
                                              TensorLoader& load,
                                              const std::string& prefix) {
    const Config& c = plan.config;
    return std::make_unique<PatternAttention>(std::move(pattern), c,
                                              load.stacked(prefix, parts(c), c.dim),
                                              load_output(c, load, prefix));
}

PatternAttention::PatternAttention(std::unique_ptr<const Pattern> pattern,
                                   const Config& config,
                                   std::unique_ptr<Matrix> in,
                                   std::unique_ptr<Matrix> out)
    : GroupedAttention(config, std::move(in), std::move(out)), pattern_(std::move(pattern)) {}

std::unique_ptr<MixerState> PatternAttention::make_state(const StateOptions& options) const {
    return std::make_unique<PatternState>(*pattern_, config().kv_heads, config().head_dim,
                                          options);
}

Index PatternAttention::state_bytes(Index length) const {
    Index rows = 0;
    for (Index head = 0; head < config().kv_heads; ++head) rows += pattern_->held(head, length);
    return rows * 2 * config().head_dim * Index{sizeof(float)};
}

}  // namespace kvlab
