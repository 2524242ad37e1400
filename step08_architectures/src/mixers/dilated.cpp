// Dilated attention (Longformer, Beltagy et al. 2020): windows with gaps, of equally many
// tokens. KV head 0 sees the newest ones, the other heads every dilation-th, so that they reach
// further back.
//
// A head with gaps sees few tokens and keeps many: those in its gaps are for the next tokens.
#include <algorithm>

#include <kvlab/architectures/pattern.hpp>

namespace kvlab {

namespace {

class DilatedPattern final : public Pattern {
public:
    DilatedPattern(Index window, Index dilation) : window_(window), dilation_(dilation) {}

    bool sees(Index kv_head, Index t, Index s) const override {
        const Index step = step_of(kv_head);
        return (t - s) % step == 0 && t - s < window_ * step;
    }

    void list(Index kv_head, Index t, std::vector<Index>& list) const override {
        // SOLUTION-BEGIN 8.2
        const Index gap = step_of(kv_head);
        list_range(std::max(t % gap, t - (window_ - 1) * gap), t, gap, list);
        // SOLUTION-END 8.2
    }

    std::optional<Index> last_reader(Index kv_head, Index s) const override {
        // SOLUTION-BEGIN 8.2
        return s + (window_ - 1) * step_of(kv_head);
        // SOLUTION-END 8.2
    }

    Index held(Index kv_head, Index N) const override {
        // SOLUTION-BEGIN 8.2
        return std::min(N, (window_ - 1) * step_of(kv_head) + 1);
        // SOLUTION-END 8.2
    }

private:
    Index step_of(Index kv_head) const { return kv_head == 0 ? 1 : dilation_; }

    Index window_, dilation_;
};

std::unique_ptr<Mixer> load_dilated(const MixerPlan& plan,
                                    TensorLoader& load,
                                    const std::string& prefix) {
    return PatternAttention::load(
        std::make_unique<DilatedPattern>(plan.number("window", 1, 1 << 24),
                                         plan.number("dilation", 1, 1 << 16)),
        plan, load, prefix);
}

constexpr const char* kDilatedKeys[] = {"window", "dilation"};

constexpr MixerEntry kDilated[] = {{
    .place = 32,
    .name = "dilated",
    .idea = "attention to windows, of all heads but one with gaps",
    .paper = "Beltagy et al. 2020",
    .tensors = GroupedAttention::tensors,
    .load = load_dilated,
    .keys = kDilatedKeys,
    .readable = true,
}};

}  // namespace

std::span<const MixerEntry> mixers_of_dilated() {
    return kDilated;
}

}  // namespace kvlab
