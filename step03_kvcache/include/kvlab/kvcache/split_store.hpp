// split_store.hpp - chapter 3: why bits change, continued. A store whose attention cuts a long
// text into pieces when one token asks, as "split" decoding kernels do to keep every core busy.
#pragma once

#include <vector>

#include <kvlab/attention/kv_store.hpp>

namespace kvlab {

// Plain loops over plain rows. A step of several tokens attends by the contract; a single token
// over more than kPiece slots sums each piece of kPiece slots apart and adds the pieces.
// Neither is wrong, and they do not round alike.
class SplitStore final : public KvStore {
public:
    static constexpr Index kPiece = 16;  // slots

    // `remembers` false: as WholeSequence, every step brings the whole text.
    SplitStore(const KvShape& shape, Index capacity, bool remembers);

    const KvShape& shape() const override { return shape_; }

    Index next_position() const override { return length_; }

    Index room() const override { return capacity_ - length_; }

    bool remembers() const override { return remembers_; }

    void begin(Index T) override;
    void append(Index layer, const View<const float>& k, const View<const float>& v) override;
    AttentionWork attend(Index layer,
                         const View<const float>& q,
                         const View<float>& out,
                         ThreadPool& pool) override;
    void commit() override;
    void truncate(Index length) override;
    std::unique_ptr<KvStore> fork() const override;
    KvBytes bytes() const override;

private:
    KvShape shape_;
    Index capacity_;
    bool remembers_;
    Index length_ = 0, pending_ = 0;
    Tensor keys_, values_;  // [L, capacity, Hkv, D]
};

// One query over the slots in pieces: each piece's maximum, weights and sums apart, then added
// in order. With one piece this is attention_plain().
void attention_in_pieces(const View<const float>& q,  // [D], scaled
                         const View<const float>& k,  // [S, D]
                         const View<const float>& v,  // [S, D]
                         Index piece,                 // slots of a piece
                         const View<float>& out);     // [D]

}  // namespace kvlab
