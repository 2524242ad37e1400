// BigBird's attention (Zaheer et al. 2020), in a causal form. The text falls into blocks, and a
// token sees whole blocks up to itself: the first one, the newest ones, which are its window,
// and a few drawn by chance from those before. The chance is a hash of the block's number, so
// every run draws the same.
//
// This saves computing and no memory: the first block is always seen, and any other may be
// drawn by a later one. So nothing can be forgotten.
#include <algorithm>
#include <cstdint>

#include <kvlab/architectures/pattern.hpp>
#include <kvlab/architectures/splitmix64.hpp>

namespace kvlab {

namespace {

class BigBirdPattern final : public Pattern {
public:
    BigBirdPattern(Index block, Index window, Index random_blocks)
        : block_(block), near_(window / block), random_(random_blocks) {}

    bool sees(Index, Index t, Index s) const override {
        const Index own = t / block_, block = s / block_;
        if (block == 0 || own - block < near_) return true;
        for (Index j = 0; j < drawn(own); ++j)
            if (draw(own, j) == block) return true;
        return false;
    }

    void list(Index, Index t, std::vector<Index>& list) const override {
        const Index own = t / block_;
        std::vector<Index> blocks{0};
        for (Index j = 0; j < drawn(own); ++j) blocks.push_back(draw(own, j));
        list_range(std::max<Index>(0, own - near_ + 1), own, 1, blocks);
        std::ranges::sort(blocks);
        blocks.erase(std::unique(blocks.begin(), blocks.end()), blocks.end());
        for (const Index block : blocks)
            list_range(block * block_, std::min(t, (block + 1) * block_ - 1), 1, list);
    }

    std::optional<Index> last_reader(Index, Index) const override { return std::nullopt; }

    Index held(Index, Index N) const override { return N; }

private:
    // How many blocks are drawn for tokens of block `own`: none without any before the window.
    Index drawn(Index own) const { return own + 1 > near_ ? random_ : 0; }

    // The j-th of them; two draws may meet.
    Index draw(Index own, Index j) const {
        const std::uint64_t hash =
            splitmix64(static_cast<std::uint64_t>(own * random_ + j + 1));
        return static_cast<Index>(hash % static_cast<std::uint64_t>(own + 1 - near_));
    }

    Index block_, near_, random_;  // near_: blocks of the window, the token's own included
};

std::unique_ptr<Mixer> load_bigbird(const MixerPlan& plan,
                                    TensorLoader& load,
                                    const std::string& prefix) {
    const Index block = plan.number("block", 1, 1 << 16);
    const Index window = plan.number("window", block, 1 << 24);
    check(window % block == 0, plan.metadata.source(),
          ": kvlab.window: expected a multiple of kvlab.block, ", block, ", found ", window);
    return PatternAttention::load(
        std::make_unique<BigBirdPattern>(block, window, plan.number("random_blocks", 0, 1024)),
        plan, load, prefix);
}

constexpr const char* kBigBirdKeys[] = {"block", "window", "random_blocks"};

constexpr MixerEntry kBigBird[] = {{
    .place = 33,
    .name = "bigbird",
    .idea = "attention to the first block, a window, and blocks drawn by chance",
    .paper = "Zaheer et al. 2020",
    .tensors = GroupedAttention::tensors,
    .load = load_bigbird,
    .keys = kBigBirdKeys,
    .readable = true,
}};

}  // namespace

std::span<const MixerEntry> mixers_of_bigbird() {
    return kBigBird;
}

}  // namespace kvlab
