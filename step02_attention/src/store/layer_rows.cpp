#include <kvlab/attention/layer_rows.hpp>

#include <typeinfo>

namespace kvlab {

Index tiles_for(const char* what, Index slots, Index kv_heads, Index head_dim) {
    check(slots > 0 && kv_heads > 0 && head_dim > 0, what,
          ": slots, kv_heads and head_dim must be positive, found ", slots, ", ", kv_heads,
          ", ", head_dim);
    const Index tiles = blocks_for(slots, kTile), padded = blocks_for(head_dim, 16);
    check_bytes(what, checked_product(
                          what, {2, kv_heads, tiles, kTile, padded, 16, Index{sizeof(float)}}));
    return tiles;
}

TileReader::TileReader(Index slots, Index kv_heads, Index head_dim)
    : tiles_(tiles_for("rows", slots, kv_heads, head_dim)),
      kv_heads_(kv_heads),
      head_dim_(head_dim),
      padded_dim_(blocks_for(head_dim, 16) * 16) {}

void LayerRows::write(Index first,
                      Index position,
                      const View<const float>& k,
                      const View<const float>& v) {
    check(k.rank() == 3, "rows: expected keys [T, Hkv, D], found ", k.shape());
    const Index T = k.dim(0);
    check_shape(k, {T, kv_heads_, head_dim_}, "rows: keys");
    check_shape(v, {T, kv_heads_, head_dim_}, "rows: values");
    check(first >= 0 && first <= slots() - T, "rows: ", T, " slots from ", first,
          " on are outside of ", slots());
    write_slots(first, position, k, v);
}

void LayerRows::copy_from(const LayerRows& other, Index count) {
    check(typeid(other) == typeid(*this) && other.kv_heads_ == kv_heads_ &&
              other.head_dim_ == head_dim_,
          "rows: copy between different kinds or shapes");
    check(count >= 0 && count <= slots() && count <= other.slots(), "rows: cannot copy ", count,
          " slots");
    copy_slots(other, count);
}

void LayerRows::copy_slot(Index kv_head, Index from, Index to) {
    check(kv_head >= 0 && kv_head < kv_heads_ && from >= 0 && from < slots() && to >= 0 &&
              to < slots(),
          "rows: cannot copy slot ", from, " to ", to, " of head ", kv_head);
    check_movable();
    move_slot(kv_head, from, to);
}

}  // namespace kvlab
