#include <kvlab/attention/kv_tiles.hpp>

#include <algorithm>

namespace kvlab {

Index tiles_for(const char* what, Index slots, Index kv_heads, Index head_dim) {
    check(slots > 0 && kv_heads > 0 && head_dim > 0, what,
          ": slots, kv_heads and head_dim must be positive, found ", slots, ", ", kv_heads,
          ", ", head_dim);
    const Index tiles = blocks_for(slots, 64), padded = blocks_for(head_dim, 16);
    check_bytes(what, checked_product(
                          what, {2, kv_heads, tiles, 64, padded, 16, Index{sizeof(float)}}));
    return tiles;
}

TileReader::TileReader(Index slots, Index kv_heads, Index head_dim)
    : tiles_(tiles_for("kv tiles", slots, kv_heads, head_dim)),
      kv_heads_(kv_heads),
      head_dim_(head_dim),
      padded_dim_((head_dim + 15) / 16 * 16) {}

Index TileReader::check_rows(Index first,
                             const View<const float>& k,
                             const View<const float>& v) const {
    check(k.rank() == 3, "kv tiles: expected keys [T, Hkv, D], found ", k.shape());
    const Index T = k.dim(0);
    check_shape(k, {T, kv_heads_, head_dim_}, "kv tiles: keys");
    check_shape(v, {T, kv_heads_, head_dim_}, "kv tiles: values");
    check(first >= 0 && first <= slots() - T, "kv tiles: ", T, " slots from ", first,
          " on are outside of ", slots());
    return T;
}

void TileReader::check_copy(const TileReader& other, Index count) const {
    check(other.kv_heads_ == kv_heads_ && other.head_dim_ == head_dim_,
          "kv tiles: copy between different shapes");
    check(count >= 0 && count <= slots() && count <= other.slots(), "kv tiles: cannot copy ",
          count, " slots");
}

KvTiles::KvTiles(Index slots, Index kv_heads, Index head_dim)
    : TileReader(slots, kv_heads, head_dim),
      keys_({kv_heads_, tiles_, head_dim_, 64}),
      values_({kv_heads_, tiles_, 64, padded_dim_}) {}

// ANCHOR: write
void KvTiles::write(Index first, const View<const float>& k, const View<const float>& v) {
    const Index T = check_rows(first, k, v);
    for (Index h = 0; h < kv_heads_; ++h)
        for (Index t = 0; t < T; ++t) {
            const Index tile = h * tiles_ + (first + t) / 64, place = (first + t) % 64;
            float* key = keys_.data() + tile * head_dim_ * 64 + place;
            float* value = values_.data() + (tile * 64 + place) * padded_dim_;
            for (Index i = 0; i < head_dim_; ++i) key[i * 64] = k(t, h, i);
            for (Index i = 0; i < head_dim_; ++i) value[i] = v(t, h, i);
        }
}

// ANCHOR_END: write

void KvTiles::copy_from(const KvTiles& other, Index count) {
    check_copy(other, count);
    const Index tiles = (count + 63) / 64;
    for (Index h = 0; h < kv_heads_; ++h) {
        std::copy_n(other.key_tile(h, 0), tiles * head_dim_ * 64,
                    keys_.data() + h * tiles_ * head_dim_ * 64);
        std::copy_n(other.value_tile(h, 0), tiles * 64 * padded_dim_,
                    values_.data() + h * tiles_ * 64 * padded_dim_);
    }
}

void KvTiles::write_slot(Index kv_head,
                         Index slot,
                         std::span<const float> key,
                         std::span<const float> value) {
    check(kv_head >= 0 && kv_head < kv_heads_ && slot >= 0 && slot < slots(),
          "kv tiles: there is no slot ", slot, " of head ", kv_head);
    check(static_cast<Index>(key.size()) == head_dim_ && key.size() == value.size(),
          "kv tiles: a key of ", key.size(), " and a value of ", value.size(), " numbers");
    const Index tile = kv_head * tiles_ + slot / 64, place = slot % 64;
    float* const to = keys_.data() + tile * head_dim_ * 64 + place;
    for (Index i = 0; i < head_dim_; ++i) to[i * 64] = key[static_cast<std::size_t>(i)];
    std::copy(value.begin(), value.end(), values_.data() + (tile * 64 + place) * padded_dim_);
}

void KvTiles::copy_slot(Index kv_head, Index from, Index to) {
    copy_slot_from(*this, kv_head, from, to);
}

void KvTiles::copy_slot_from(const KvTiles& other, Index kv_head, Index from, Index to) {
    check(other.kv_heads_ == kv_heads_ && other.head_dim_ == head_dim_ && kv_head >= 0 &&
              kv_head < kv_heads_ && from >= 0 && from < other.slots() && to >= 0 &&
              to < slots(),
          "kv tiles: cannot copy slot ", from, " to ", to, " of head ", kv_head);
    const float* const key = other.key_tile(kv_head, from / 64) + from % 64;
    float* const new_key =
        keys_.data() + (kv_head * tiles_ + to / 64) * head_dim_ * 64 + to % 64;
    for (Index i = 0; i < head_dim_; ++i) new_key[i * 64] = key[i * 64];
    std::copy_n(other.value_tile(kv_head, from / 64) + from % 64 * padded_dim_, head_dim_,
                values_.data() + (kv_head * tiles_ * 64 + to) * padded_dim_);
}

}  // namespace kvlab
