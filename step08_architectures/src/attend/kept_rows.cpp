#include <kvlab/architectures/kept_rows.hpp>

#include <algorithm>

#include <kvlab/tensor/sizes.hpp>

namespace kvlab {

KeptRows::KeptRows(Index kv_heads, Index head_dim)
    : head_dim_(head_dim),
      padded_dim_(blocks_for(head_dim, 16) * 16),
      heads_(usize((check(kv_heads > 0 && head_dim > 0,
                          "kept rows: expected KV heads and numbers, found ",
                          kv_heads,
                          " and ",
                          head_dim),
                    kv_heads))) {}

void KeptRows::append(const View<const float>& k, const View<const float>& v) {
    check(k.rank() == 3, "kept rows: expected keys [T, Hkv, D], found ", k.shape());
    const Index T = k.dim(0);
    check_shape(k, {T, kv_heads(), head_dim_}, "kept rows: keys");
    check_shape(v, {T, kv_heads(), head_dim_}, "kept rows: values");
    for (Index h = 0; h < kv_heads(); ++h) {
        Head& head = at(heads_, h);
        for (Index t = 0; t < T; ++t) {
            const Index block = (end_ + t) / kTile - head.first / kTile,
                        place = (end_ + t) % kTile;
            if (block == std::ssize(head.blocks))
                head.blocks.emplace_back(Shape{tile_floats()});
            float* const keys = head.blocks[usize(block)].data();
            float* const values = keys + kTile * head_dim_ + place * padded_dim_;
            for (Index i = 0; i < head_dim_; ++i) keys[i * kTile + place] = k(t, h, i);
            for (Index i = 0; i < head_dim_; ++i) values[i] = v(t, h, i);
        }
    }
    end_ += T;
}

void KeptRows::forget(Index kv_head, Index first) {
    Head& head = at(heads_, kv_head);
    check(first >= head.first && first <= end_, "kept rows: cannot forget what is below ",
          first, " of [", head.first, ", ", end_, ")");
    // A block that is not begun yet is made by append().
    while (!head.blocks.empty() && head.first / kTile < first / kTile) {
        head.blocks.pop_front();
        head.first = (head.first / kTile + 1) * kTile;
    }
    head.first = first;
}

void KeptRows::drop(Index end) noexcept {
    end_ = std::min(end_, end);
    for (Head& head : heads_) {
        if (head.first >= end_) {
            head.first = end_;
            head.blocks.clear();
        }
        const Index blocks = (end_ + kTile - 1) / kTile - head.first / kTile;
        while (std::ssize(head.blocks) > blocks) head.blocks.pop_back();
    }
}

KeptRows KeptRows::copied() const {
    KeptRows copy(kv_heads(), head_dim_);
    copy.end_ = end_;
    for (std::size_t h = 0; h < heads_.size(); ++h) {
        copy.heads_[h].first = heads_[h].first;
        for (const Tensor& block : heads_[h].blocks)
            copy.heads_[h].blocks.push_back(block.clone());
    }
    return copy;
}

Index KeptRows::held_bytes() const {
    Index rows = 0;
    for (const Head& head : heads_) rows += end_ - head.first;
    return rows * 2 * head_dim_ * Index{sizeof(float)};
}

Index KeptRows::allocated_bytes() const {
    Index blocks = 0;
    for (const Head& head : heads_) blocks += std::ssize(head.blocks);
    return blocks * tile_floats() * Index{sizeof(float)};
}

const float* KeptRows::keys(Index kv_head, Index block) const {
    const Head& head = at(heads_, kv_head);
    const Index place = block - head.first / kTile;
    check(place >= 0 && place < std::ssize(head.blocks), "kept rows: positions from ",
          block * kTile, " on are not there: they are [", head.first, ", ", end_, ")");
    return head.blocks[usize(place)].data();
}

const float* KeptRows::values(Index kv_head, Index block) const {
    return keys(kv_head, block) + kTile * head_dim_;
}

}  // namespace kvlab
