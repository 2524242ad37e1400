// split_store.hpp - chapter 3: why bits change, continued. A cache whose attention cuts a long
// text into pieces when one token asks, as "split" decoding kernels do to keep every core busy.
#pragma once

#include <kvlab/kvcache/naive_cache.hpp>

namespace kvlab {

// A step of several tokens attends by the contract; a single token over more than kPiece slots
// sums each piece of kPiece slots apart and adds the pieces. Neither is wrong, and they do not
// round alike.
class SplitStore final : public NaiveCache {
public:
    static constexpr Index kPiece = 16;  // slots

    // `remembers` false: as WholeSequence, every step brings the whole text.
    SplitStore(const KvShape& shape, Index capacity, bool remembers)
        : NaiveCache("split store", shape, capacity), remembers_(remembers) {}

    bool remembers() const override { return remembers_; }

protected:
    std::unique_ptr<SteppedStore> copied() const override;
    void attend_one(const View<const float>& q,
                    const View<const float>& k,
                    const View<const float>& v,
                    const View<float>& out) const override;

private:
    bool remembers_;
};

// One query over the slots in pieces: each piece's maximum, weights and sums apart, then added
// in order. With one piece this is attention_plain().
void attention_in_pieces(const View<const float>& q,  // [D], scaled
                         const View<const float>& k,  // [S, D]
                         const View<const float>& v,  // [S, D]
                         Index piece,                 // slots of a piece
                         const View<float>& out);     // [D]

}  // namespace kvlab
