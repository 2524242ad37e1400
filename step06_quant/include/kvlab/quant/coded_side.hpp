// coded_side.hpp - chapter 6: the keys, or the values, of one layer in few bits: the first few
// tokens as floats, the newest of KIVI as f16, all others as codes.
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
//
// ANCHOR: sinks
//   A policy (chapter 5) moves and evicts the first tokens as any others, so a slot does not
//   say whether it holds one; here of 4 sinks:
//
//   slot         0    1    2    3  |  4    5 ...
//   position   [ 0   17    3   18  | 19   20 ... ]     tokens 1 and 2 are gone
//   sink       [ x    -    x    -  ]                   rows of `floats` for these slots alone
//
//   Slots are filled from below and rows move to lower ones: no slot is above its position.
// ANCHOR_END: sinks
#pragma once

#include <vector>

#include <kvlab/attention/layer_rows.hpp>
#include <kvlab/quant/coded_tiles.hpp>
#include <kvlab/quant/recent_rows.hpp>

namespace kvlab {

class CodedSide {
public:
    struct Options {
        Format format = &formats::f32;
        Index sinks = 0;       // first tokens that stay floats
        Index residual = 128;  // KIVI: R, a multiple of 32
        std::uint64_t seed = kTurboSeed;
    };

    // Throws Error for a negative number of sinks, a residual that is no positive multiple of
    // 32, and whatever CodedTiles refuses.
    CodedSide(const Options& options,
              CodedTiles::Side side,
              Index slots,
              Index kv_heads,
              Index head_dim,
              SimdLevel level);

    // KIVI: whether rows stay f16 for a while.
    bool waits() const { return options_.format->waits; }

    // Space for a step of T tokens from slot `past` on, and back to what a single token needs.
    void open(Index past, Index T);
    void close(Index past, Index T);

    // One row [D]; of every KV head slot by slot. Rows of KIVI are rounded to f16 in `row`.
    void write(Index kv_head, Index slot, Index position, std::span<float> row);
    // After the rows of a step: what has become whole groups is encoded.
    void finish_rows(Index past, Index T);

    // Slots below are codes (or sinks) for whoever sees `seen` tokens before itself.
    Index coded_until(Index seen) const;

    // A tile as the token at position `seen` sees it: [D][64] or [64][Dp], where it lies or in
    // `scratch`, which has 64 Dp.
    const float* read(Index kv_head, Index tile, Index seen, float* scratch) const;
    float number(Index kv_head, Index slot, Index seen, Index i) const;

    // Of all KV heads in slots [0, count).
    Index held_bytes(Index count) const;
    // Of the rows that the token at this position sees, its own with them: what waited in f16
    // when it came counts as f16.
    Index seen_bytes(Index position) const;
    Index allocated_bytes() const;
    void visit_memory(const VisitMemory& visit);

    // Whether the first `to` of `length` tokens are still what they were when they were all.
    bool can_truncate(Index length, Index to) const;

    // Slots [0, count) of another side of the same kind.
    void copy_from(const CodedSide& other, Index count);
    // Not of KIVI.
    void move_slot(Index kv_head, Index from, Index to);

    const CodedTiles& tiles() const { return tiles_; }

private:
    Index waiting_since(Index seen) const { return waits() ? coded_until(seen) : seen; }

    bool is_sink(Index kv_head, Index slot) const {
        return slot < float_slots_ && at(is_sink_, kv_head * float_slots_ + slot) != 0;
    }

    Index bytes_of(Index count, Index until) const;
    void mark(Index kv_head, Index slot, bool sink);
    void copy_sink(const CodedSide& other, Index kv_head, Index from, Index to);
    void encode_groups(Index past, Index T);

    // Fixed at construction.
    Options options_;
    CodedTiles::Side side_;
    Index kv_heads_, head_dim_, padded_dim_;
    Index float_slots_;  // the first of all, which may hold sinks
    // Rows.
    CodedTiles tiles_;
    Tensor floats_;                       // [Hkv, float_slots, D]
    std::vector<unsigned char> is_sink_;  // [Hkv, float_slots] 1: holds one
    RecentRows recent_;
    std::vector<float> group_;  // [32, D] scratch memory to encode in
};

}  // namespace kvlab
