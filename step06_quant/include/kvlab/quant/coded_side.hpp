// coded_side.hpp - chapter 6: the keys, or the values, of one layer as a quantised cache keeps
// them: the first few tokens as floats, the newest of KIVI as f16, all others as codes.
//
// ANCHOR: arrival
//   slot   0 .. sinks-1 | ...                       | ...
//          floats       | codes                     | f16: the residual of KIVI, else codes
//                                                   ^ coded_until(seen)
//
// What a token sees depends on its position alone, so that a prompt may come in any pieces: the
// token at position p sees the cache as it stands behind p tokens that came one by one, and
// itself. With a residual of R tokens, as the decoding of KIVI (Liu et al. 2024) does it:
//   keys    [0, p - p mod R) as codes: R keys wait, then all become codes at once
//   values  [0, p - R) as codes: the newest R wait, and the oldest of them leaves
// Its prefill there sees no codes at all, so that their result depends on the pieces.
// ANCHOR_END: arrival
#pragma once

#include <kvlab/quant/coded_tiles.hpp>
#include <kvlab/quant/recent_rows.hpp>

namespace kvlab {

class CodedSide {
public:
    struct Options {
        KvCode code = KvCode::f32;
        Index sinks = 0;       // first tokens that stay floats
        Index residual = 128;  // KIVI: R, a multiple of 32
    };

    // Throws Error for a negative number of sinks, a residual that is no positive multiple of
    // 32, and whatever CodedTiles refuses.
    CodedSide(const Options& options,
              CodedTiles::Side side,
              Index slots,
              Index kv_heads,
              Index head_dim,
              SimdLevel level);

    // Makes room for a step of T tokens behind `past`.
    void begin(Index past, Index T);
    // One row [D] of the open step; of every KV head slot by slot. Rows of KIVI are rounded to
    // f16 in `row`.
    void write(Index kv_head, Index slot, std::span<float> row);
    // Behind the rows of a step: what has become whole groups is encoded.
    void finish_rows(Index past, Index T);
    // Gives back what a long step took.
    void commit(Index past, Index T);

    // Slots below are codes (or sinks) for whoever sees `seen` tokens before itself.
    Index coded_until(Index seen) const;

    // A tile as the token at position `seen` sees it: [D][64] or [64][Dp]. `room` has 64 Dp.
    const float* read(Index kv_head, Index tile, Index seen, float* room) const;
    float number(Index kv_head, Index slot, Index seen, Index i) const;

    // Of all KV heads behind `length` tokens.
    Index logical_bytes(Index length) const;
    Index allocated_bytes() const;

    // Whether the first `to` of `length` tokens are still what they were when they were all.
    bool can_truncate(Index length, Index to) const;

    // As much of another side of the same kind as `length` tokens need.
    void copy_from(const CodedSide& other, Index length);

    const CodedTiles& tiles() const { return tiles_; }

private:
    bool waits() const { return kv_code_traits(options_.code).groups; }

    Index waiting_since(Index seen) const { return waits() ? coded_until(seen) : seen; }

    void encode_groups(Index past, Index T);
    void overlay(Index kv_head, Index tile, Index seen, float* room) const;

    // Fixed at construction.
    Options options_;
    CodedTiles::Side side_;
    Index kv_heads_, head_dim_, padded_dim_;
    // Rows.
    CodedTiles tiles_;
    Tensor sinks_;  // [Hkv, sinks, D]
    RecentRows recent_;
    std::vector<float> group_;  // [32, D] room to encode in
};

}  // namespace kvlab
