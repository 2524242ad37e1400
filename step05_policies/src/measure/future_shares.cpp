#include <kvlab/policies/future_shares.hpp>

#include <algorithm>

#include <kvlab/policies/slot_cache.hpp>

namespace kvlab {

// A policy that keeps everything and writes down what it observes.
class FutureShares::Recorder final : public Policy {
public:
    explicit Recorder(FutureShares& future) : future_(future) {}

    Index keep(Index, Index seen) const override { return seen; }

    Index observed() const override { return kAll; }

    void observe(const HeadSlots& head,
                 Index query,
                 std::span<const float> shares) const override {
        auto& given = at(future_.given_, head.layer * future_.kv_heads_ + head.kv_head);
        std::copy(shares.begin(), shares.end(), given.begin() + query * future_.length_);
    }

    void rate(const HeadSlots&, std::span<float> ratings) const override {
        std::fill(ratings.begin(), ratings.end(), kProtected);
    }

private:
    FutureShares& future_;
};

FutureShares::FutureShares(Decoder& decoder, std::span<const Token> text)
    : length_(std::ssize(text)),
      kv_heads_(decoder.config().kv_heads),
      text_(text.begin(), text.end()) {
    check(length_ >= 1, "future: no tokens");
    given_.resize(usize(decoder.config().layers * kv_heads_));
    for (auto& given : given_) given.resize(usize(length_ * length_));
    SlotCache cache(decoder.kv_shape(), length_, std::make_shared<Recorder>(*this));
    decoder.forward(cache, text);
    // From the end on: what query q and all later ones give.
    sums_ = given_;
    for (auto& sums : sums_)
        for (Index q = length_ - 2; q >= 0; --q)
            for (Index p = 0; p < length_; ++p)
                at(sums, q * length_ + p) += at(sums, (q + 1) * length_ + p);
}

float FutureShares::share(Index layer, Index kv_head, Index position, Index next) const {
    check(position >= 0 && next >= 0, "future: no position ", position, " or query ", next);
    if (position >= length_ || next >= length_) return 0.0f;
    const auto& sums = sums_.at(usize(layer * kv_heads_ + kv_head));
    return at(sums, next * length_ + position);
}

std::span<const float> FutureShares::given(Index layer, Index kv_head, Index query) const {
    check(query >= 0 && query < length_, "future: no query ", query, " of ", length_);
    const auto& rows = given_.at(usize(layer * kv_heads_ + kv_head));
    return std::span(rows).subspan(usize(query * length_), usize(query + 1));
}

}  // namespace kvlab
