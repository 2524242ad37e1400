#include <kvlab/attention/kv_tiles.hpp>

#include <algorithm>

namespace kvlab {

KvTiles::KvTiles(Index slots, Index kv_heads, Index head_dim)
    : LayerRows(slots, kv_heads, head_dim),
      keys_({kv_heads_, tiles_, head_dim_, kTile}),
      values_({kv_heads_, tiles_, kTile, padded_dim_}) {}

// ANCHOR: write
void KvTiles::write_slots(Index first,
                          Index /*position*/,
                          const View<const float>& k,
                          const View<const float>& v) {
    for (Index h = 0; h < kv_heads_; ++h)
        for (Index t = 0; t < k.dim(0); ++t) {
            const Index tile = h * tiles_ + (first + t) / kTile, place = (first + t) % kTile;
            float* key = keys_.data() + tile * head_dim_ * kTile + place;
            float* value = values_.data() + (tile * kTile + place) * padded_dim_;
            for (Index i = 0; i < head_dim_; ++i) key[i * kTile] = k(t, h, i);
            for (Index i = 0; i < head_dim_; ++i) value[i] = v(t, h, i);
        }
}

// ANCHOR_END: write

void KvTiles::copy_slots(const LayerRows& rows, Index count) {
    const auto& other = static_cast<const KvTiles&>(rows);
    const Index tiles = blocks_for(count, kTile);
    for (Index h = 0; h < kv_heads_; ++h) {
        std::copy_n(other.key_tile(h, 0), tiles * head_dim_ * kTile,
                    keys_.data() + h * tiles_ * head_dim_ * kTile);
        std::copy_n(other.value_tile(h, 0), tiles * kTile * padded_dim_,
                    values_.data() + h * tiles_ * kTile * padded_dim_);
    }
}

void KvTiles::visit_memory(const VisitMemory& visit) {
    visit(std::as_writable_bytes(keys_.flat()));
    visit(std::as_writable_bytes(values_.flat()));
}

void KvTiles::write_slot(Index kv_head,
                         Index slot,
                         std::span<const float> key,
                         std::span<const float> value) {
    check(kv_head >= 0 && kv_head < kv_heads_ && slot >= 0 && slot < slots(),
          "kv tiles: there is no slot ", slot, " of head ", kv_head);
    check(std::ssize(key) == head_dim_ && key.size() == value.size(), "kv tiles: a key of ",
          key.size(), " and a value of ", value.size(), " numbers");
    const Index tile = kv_head * tiles_ + slot / kTile, place = slot % kTile;
    float* const to = keys_.data() + tile * head_dim_ * kTile + place;
    for (Index i = 0; i < head_dim_; ++i) to[i * kTile] = at(key, i);
    std::copy(value.begin(), value.end(),
              values_.data() + (tile * kTile + place) * padded_dim_);
}

void KvTiles::copy_slot_from(const KvTiles& other, Index kv_head, Index from, Index to) {
    check(other.kv_heads_ == kv_heads_ && other.head_dim_ == head_dim_ && kv_head >= 0 &&
              kv_head < kv_heads_ && from >= 0 && from < other.slots() && to >= 0 &&
              to < slots(),
          "kv tiles: cannot copy slot ", from, " to ", to, " of head ", kv_head);
    const float* const key = other.key_tile(kv_head, from / kTile) + from % kTile;
    float* const new_key =
        keys_.data() + (kv_head * tiles_ + to / kTile) * head_dim_ * kTile + to % kTile;
    for (Index i = 0; i < head_dim_; ++i) new_key[i * kTile] = key[i * kTile];
    std::copy_n(other.value_tile(kv_head, from / kTile) + from % kTile * padded_dim_, head_dim_,
                values_.data() + (kv_head * tiles_ * kTile + to) * padded_dim_);
}

MakeRows float_rows() {
    return [](const RowsShape& of) {
        return std::make_unique<KvTiles>(of.slots, of.kv_heads, of.head_dim);
    };
}

}  // namespace kvlab
