// kept_rows.hpp - chapter 8: keys and values by their position in the text, of which the oldest
// can be forgotten: of each KV head another number.
//
// ANCHOR: layout
//   position      0        64       128      192   230
//   KV head 0     (free)   (free)   (free)   [=====|  ]     sees the last 32
//   KV head 1     [  =====][=======][=======][=====|  ]     sees every 8th of the last 256
// ANCHOR_END: layout
//
// Rows lie in blocks of 64 positions, each a tile as kv_tiles.hpp draws it, and a block whose
// rows are all forgotten is given back. So what is kept never moves, and a list of positions
// that happens to be a whole block is read where it lies.
#pragma once

#include <deque>
#include <vector>

#include <kvlab/attention/attention_kernels.hpp>
#include <kvlab/tensor/tensor.hpp>

namespace kvlab {

class KeptRows {
public:
    // Throws Error unless both are positive.
    KeptRows(Index kv_heads, Index head_dim);

    Index kv_heads() const { return std::ssize(heads_); }

    Index head_dim() const { return head_dim_; }

    Index padded_dim() const { return padded_dim_; }

    // Of a KV head, positions [first(), end()) are there.
    Index first(Index kv_head) const { return at(heads_, kv_head).first; }

    Index end() const { return end_; }

    // Rows [T, Hkv, D] of the positions from end() on. Throws Error for other shapes.
    void append(const View<const float>& k, const View<const float>& v);

    // Positions below `first` are no longer needed.
    void forget(Index kv_head, Index first);

    // Positions at and behind `end` are gone.
    void drop(Index end) noexcept;

    KeptRows copied() const;

    // Of the rows that are there.
    Index held_bytes() const;
    Index allocated_bytes() const;

    // The tile of positions [64 block, 64 block + 64): keys [D][64], and values [64][Dp].
    const float* keys(Index kv_head, Index block) const;
    const float* values(Index kv_head, Index block) const;

private:
    struct Head {
        Index first = 0;
        std::deque<Tensor> blocks;  // from the one of `first` on: keys, then values
    };

    Index tile_floats() const { return kTile * (head_dim_ + padded_dim_); }

    Index head_dim_, padded_dim_, end_ = 0;
    std::vector<Head> heads_;
};

}  // namespace kvlab
