// Strided attention (Sparse Transformer, Child et al. 2019): the newest tokens, and every
// stride-th of all before: about stride + N / stride of N tokens. Together two layers reach
// every token.
//
// This saves computing and no memory: for any token there is always a later one, a multiple of
// the stride away, that sees it. So nothing can be forgotten.
#include <algorithm>

#include <kvlab/architectures/pattern.hpp>

namespace kvlab {

namespace {

class StridedPattern final : public Pattern {
public:
    explicit StridedPattern(Index stride) : stride_(stride) {}

    bool sees(Index, Index t, Index s) const override {
        return t - s < stride_ || (t - s) % stride_ == 0;
    }

    void list(Index, Index t, std::vector<Index>& list) const override {
        list_range(t % stride_, t - stride_, stride_, list);
        list_range(std::max<Index>(0, t - stride_ + 1), t, 1, list);
    }

    std::optional<Index> last_reader(Index, Index) const override { return std::nullopt; }

    Index held(Index, Index N) const override { return N; }

private:
    Index stride_;
};

std::unique_ptr<Mixer> load_strided(const MixerPlan& plan,
                                    TensorLoader& load,
                                    const std::string& prefix) {
    return PatternAttention::load(
        std::make_unique<StridedPattern>(plan.number("stride", 1, 1 << 24)), plan, load,
        prefix);
}

constexpr const char* kStridedKeys[] = {"stride"};

constexpr MixerEntry kStrided[] = {{
    .place = 31,
    .name = "strided",
    .idea = "attention to the newest tokens, and to every stride-th of all",
    .paper = "Child et al. 2019",
    .tensors = GroupedAttention::tensors,
    .load = load_strided,
    .keys = kStridedKeys,
    .readable = true,
}};

}  // namespace

std::span<const MixerEntry> mixers_of_strided() {
    return kStrided;
}

}  // namespace kvlab
