#include <kvlab/quant/quant_slots.hpp>

#include <algorithm>

#include <kvlab/quant/hadamard.hpp>
#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

QuantSlots::QuantSlots(
    const QuantOptions& options, Index slots, Index kv_heads, Index head_dim, SimdLevel level)
    : SlotTiles(slots, kv_heads, head_dim),
      options_(options),
      level_(level),
      keys_{{options.keys, CodedTiles::Side::keys, slots, kv_heads, head_dim, level}, {}},
      values_{{options.values, CodedTiles::Side::values, slots, kv_heads, head_dim, level}, {}},
      float_slots_(std::clamp<Index>(options.sinks, 0, this->slots())) {
    for (const KvCode code : {options.keys, options.values})
        check(!kv_code_traits(code).groups, "quant slots: ", kv_code_name(code),
              " keeps tokens in groups, and a policy takes single ones");
    check(!options.before_rope,
          "quant slots: whether keys are kept before RoPE is said by the scheme of positions");
    check(options.sinks >= 0, "quant slots: ", options.sinks, " sinks");
    if (options.rotate) check_hadamard(head_dim);
    if (float_slots_ == 0) return;
    for (Side* const side : {&keys_, &values_})
        side->floats = Tensor({kv_heads, float_slots_, head_dim});
    sinks_.resize(static_cast<std::size_t>(kv_heads * float_slots_));
}

std::unique_ptr<SlotTiles> QuantSlots::make(Index slots) const {
    return std::make_unique<QuantSlots>(options_, slots, kv_heads_, head_dim_, level_);
}

void QuantSlots::turn(std::span<float> head) const {
    if (options_.rotate) hadamard(head);
}

void QuantSlots::write(Index first,
                       Index position,
                       const View<const float>& k,
                       const View<const float>& v) {
    const Index T = check_rows(first, k, v);
    float room[CodedRow::kMost];
    const std::span<float> row(room, static_cast<std::size_t>(head_dim_));
    for (Index h = 0; h < kv_heads_; ++h)
        for (Index t = 0; t < T; ++t) {
            for (Index i = 0; i < head_dim_; ++i) room[i] = k(t, h, i);
            write_row(keys_, h, first + t, position + t, row);
            for (Index i = 0; i < head_dim_; ++i) room[i] = v(t, h, i);
            write_row(values_, h, first + t, position + t, row);
        }
}

void QuantSlots::write_row(
    Side& side, Index kv_head, Index slot, Index position, std::span<float> row) {
    turn(row);
    const bool sink = position < options_.sinks;
    mark(kv_head, slot, sink);
    if (!sink) {
        side.tiles.write(kv_head, slot, row);
        return;
    }
    check(all_finite(row), kv_code_name(side.tiles.code()), " cache: a number is not finite");
    std::copy(row.begin(), row.end(), &side.floats(kv_head, slot, 0));
}

void QuantSlots::mark(Index kv_head, Index slot, bool sink) {
    check(slot < float_slots_ || !sink, "quant slots: a sink in slot ", slot,
          ", which is above its position");
    if (slot < float_slots_)
        sinks_[static_cast<std::size_t>(kv_head * float_slots_ + slot)] = sink ? 1 : 0;
}

// ANCHOR: read
const float* QuantSlots::read(
    const Side& side, bool keys, Index kv_head, Index tile, float* room) const {
    const float* const lies = side.tiles.read(kv_head, tile, room);
    const Index row = keys ? 1 : padded_dim_, column = keys ? 64 : 1;  // steps in a tile
    bool copied = lies == room;
    const Index first = tile * 64;
    for (Index s = 0; s < std::min<Index>(64, float_slots_ - first); ++s) {
        if (!is_sink(kv_head, first + s)) continue;
        if (!copied) std::copy_n(lies, 64 * padded_dim_, room);
        copied = true;
        for (Index i = 0; i < head_dim_; ++i)
            room[s * row + i * column] = side.floats(kv_head, first + s, i);
    }
    return copied ? room : lies;
}

// ANCHOR_END: read

void QuantSlots::copy_from(const SlotTiles& other, Index count) {
    const auto* const same = dynamic_cast<const QuantSlots*>(&other);
    check(same != nullptr && same->options_.sinks == options_.sinks &&
              same->options_.rotate == options_.rotate,
          "quant slots: copy between different kinds");
    keys_.tiles.copy_from(same->keys_.tiles, count);
    values_.tiles.copy_from(same->values_.tiles, count);
    for (Index h = 0; h < kv_heads_; ++h)
        for (Index slot = 0; slot < std::min(count, float_slots_); ++slot)
            copy_float(*same, h, slot, slot);
}

void QuantSlots::copy_float(const QuantSlots& other, Index kv_head, Index from, Index to) {
    const bool sink = other.is_sink(kv_head, from);
    mark(kv_head, to, sink);
    if (!sink) return;
    std::copy_n(&other.keys_.floats(kv_head, from, 0), head_dim_,
                &keys_.floats(kv_head, to, 0));
    std::copy_n(&other.values_.floats(kv_head, from, 0), head_dim_,
                &values_.floats(kv_head, to, 0));
}

void QuantSlots::copy_slot(Index kv_head, Index from, Index to) {
    keys_.tiles.copy_slot(keys_.tiles, kv_head, from, to);
    values_.tiles.copy_slot(values_.tiles, kv_head, from, to);
    copy_float(*this, kv_head, from, to);
}

Index QuantSlots::allocated_bytes() const {
    return keys_.tiles.allocated_bytes() + values_.tiles.allocated_bytes() +
           static_cast<Index>(sinks_.size()) +
           (keys_.floats.size() + values_.floats.size()) * Index{sizeof(float)};
}

Index QuantSlots::held_bytes(Index count) const {
    Index sinks = 0;
    for (Index h = 0; h < kv_heads_; ++h)
        for (Index slot = 0; slot < std::min(count, float_slots_); ++slot)
            sinks += is_sink(h, slot) ? 1 : 0;
    return (kv_heads_ * count - sinks) * slot_bytes() +
           sinks * 2 * head_dim_ * Index{sizeof(float)};
}

float QuantSlots::key(Index kv_head, Index slot, Index i) const {
    return is_sink(kv_head, slot) ? keys_.floats(kv_head, slot, i)
                                  : keys_.tiles.number(kv_head, slot, i);
}

MakeSlotTiles quant_slots(const QuantOptions& options, SimdLevel level) {
    return [=](Index slots, Index kv_heads, Index head_dim) {
        return std::make_unique<QuantSlots>(options, slots, kv_heads, head_dim, level);
    };
}

}  // namespace kvlab
