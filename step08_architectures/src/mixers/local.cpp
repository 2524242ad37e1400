// Local attention: a window of the newest tokens (Longformer, Beltagy et al. 2020; Mistral 7B,
// Jiang et al. 2023). What falls out of it is never seen again, so the memory stops growing;
// only by way of the layers above does anything reach further than the window.
#include <algorithm>

#include <kvlab/architectures/pattern.hpp>

namespace kvlab {

namespace {

class LocalPattern final : public Pattern {
public:
    explicit LocalPattern(Index window) : window_(window) {}

    bool sees(Index, Index t, Index s) const override { return t - s < window_; }

    void list(Index, Index t, std::vector<Index>& list) const override {
        list_range(std::max<Index>(0, t - window_ + 1), t, 1, list);
    }

    std::optional<Index> last_reader(Index, Index s) const override { return s + window_ - 1; }

    Index held(Index, Index N) const override { return std::min(N, window_); }

private:
    Index window_;
};

std::unique_ptr<Mixer> load_local(const MixerPlan& plan,
                                  TensorLoader& load,
                                  const std::string& prefix) {
    return PatternAttention::load(
        std::make_unique<LocalPattern>(plan.number("window", 1, 1 << 24)), plan, load, prefix);
}

constexpr const char* kLocalKeys[] = {"window"};

constexpr MixerEntry kLocal[] = {{
    .place = 30,
    .name = "local",
    .idea = "attention to a window of the newest tokens",
    .paper = "Beltagy et al. 2020",
    .tensors = GroupedAttention::tensors,
    .load = load_local,
    .keys = kLocalKeys,
    .readable = true,
}};

}  // namespace

std::span<const MixerEntry> mixers_of_local() {
    return kLocal;
}

}  // namespace kvlab
