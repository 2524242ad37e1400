#include <kvlab/policies/reconstruction.hpp>

#include <algorithm>

#include <kvlab/policies/slot_cache.hpp>

namespace kvlab {

// A policy that keeps everything, and writes down what is looked at in the chunk.
class Reconstruction::Recorder final : public Policy {
public:
    explicit Recorder(Reconstruction& to) : to_(to) {}

    Index keep(Index, Index seen) const override { return seen; }

    Index observed() const override { return kAll; }

    // While the prompt itself is run there is no chunk.
    void observe(const HeadSlots& head, Index, std::span<const float> shares) const override {
        auto& most = at(to_.shares_, head.layer * to_.kv_heads_ + head.kv_head);
        for (Index p = to_.begin_; p < to_.end_; ++p)
            at(most, p) = std::max(at(most, p), at(shares, p));
    }

    void rate(const HeadSlots&, std::span<float> ratings) const override {
        std::fill(ratings.begin(), ratings.end(), kProtected);
    }

private:
    Reconstruction& to_;
};

namespace {

// What is fed behind the prompt at once: last tokens of the chunk before, and a chunk.
struct PassSize {
    Index lead, chunk;
};

PassSize pass_behind(const Config& config, Index prompt, Index wanted) {
    check(prompt >= 1, "reconstruction: no tokens");
    check(wanted >= 1, "reconstruction: chunks of ", wanted, " tokens");
    const Index left = config.context - prompt;
    check(left >= 2, "reconstruction: a prompt of ", prompt,
          " tokens leaves no room to repeat it in a context of ", config.context);
    if (prompt <= std::min(wanted, left)) return {0, prompt};  // in one pass
    const Index lead = std::min(Reconstruction::kLead, left / 2);
    return {lead, std::min({wanted, left - lead, prompt})};
}

}  // namespace

// ANCHOR: reconstruction
Reconstruction::Reconstruction(Decoder& decoder, std::span<const Token> prompt, Index chunk)
    : length_(std::ssize(prompt)), kv_heads_(decoder.config().kv_heads) {
    const PassSize size = pass_behind(decoder.config(), length_, chunk);
    shares_.assign(usize(decoder.config().layers * kv_heads_),
                   std::vector<float>(usize(length_)));
    SlotCacheOptions options;
    options.reduce = Reduce::max;
    const RopeTable& rope = decoder.model().rope;
    SlotCache held(decoder.kv_shape(), length_ + size.lead + size.chunk,
                   std::make_shared<Recorder>(*this), options,
                   rope.positions() > 0 ? &rope : nullptr);
    decoder.forward(held, prompt);
    for (begin_ = 0; begin_ < length_; begin_ = end_) {
        end_ = std::min(begin_ + size.chunk, length_);
        const Index from = std::max<Index>(0, begin_ - size.lead);
        const auto behind = held.fork();  // what was observed cannot be taken back
        decoder.forward(*behind, prompt.subspan(usize(from), usize(end_ - from)));
        ++passes_;
        tokens_ += end_ - from;
    }
}

// ANCHOR_END: reconstruction

float Reconstruction::share(Index layer, Index kv_head, Index position) const {
    check(position >= 0 && position < length_, "reconstruction: position ", position, " of ",
          length_);
    return at(shares_.at(usize(layer * kv_heads_ + kv_head)), position);
}

}  // namespace kvlab
