#include <kvlab/quant/coded_side.hpp>

#include <algorithm>

#include <kvlab/attention/attention_kernels.hpp>
#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

CodedSide::CodedSide(const Options& options,
                     CodedTiles::Side side,
                     Index slots,
                     Index kv_heads,
                     Index head_dim,
                     SimdLevel level)
    : options_(options),
      side_(side),
      kv_heads_(kv_heads),
      head_dim_(head_dim),
      padded_dim_((head_dim + 15) / 16 * 16),
      float_slots_(std::clamp<Index>(options.sinks, 0, blocks_for(slots, kTile) * kTile)),
      tiles_(options.format, side, slots, kv_heads, head_dim, level, options.seed) {
    check(options.sinks >= 0, "coded rows: ", options.sinks, " sinks");
    if (float_slots_ > 0) {
        floats_ = Tensor({kv_heads, float_slots_, head_dim});
        is_sink_.resize(usize(kv_heads * float_slots_));
    }
    if (!waits()) return;
    check(options.residual >= kScaleBlock && options.residual % kScaleBlock == 0,
          "kivi: a residual of ", options.residual, " tokens is no multiple of ", kScaleBlock);
    recent_ = RecentRows(checked_sum("kivi", {options.residual, 1}), kv_heads, head_dim);
    group_.resize(usize(kScaleBlock * head_dim));
}

// ANCHOR: coded_until
Index CodedSide::coded_until(Index seen) const {
    if (!waits()) return seen + 1;
    const Index R = options_.residual;
    return side_ == CodedTiles::Side::keys ? seen - seen % R : std::max<Index>(0, seen - R);
}

// ANCHOR_END: coded_until

void CodedSide::open(Index past, Index T) {
    const Index needed = checked_sum("kivi", {options_.residual, T});
    if (waits() && recent_.capacity() < needed)
        recent_.resize(needed, waiting_since(past), past);
}

void CodedSide::close(Index past, Index T) {
    const Index steady = options_.residual + 1;
    if (waits() && recent_.capacity() > steady)
        recent_.resize(steady, waiting_since(past + T), past + T);
}

void CodedSide::write(Index kv_head, Index slot, Index position, std::span<float> row) {
    const bool sink = position < options_.sinks;
    mark(kv_head, slot, sink);
    if (sink) {
        check(all_finite(row), options_.format->name, " cache: a number is not finite");
        std::copy(row.begin(), row.end(), &floats_(kv_head, slot, 0));
        return;
    }
    if (waits()) recent_.write(kv_head, slot, row);
    if (!tiles_.grouped()) tiles_.write(kv_head, slot, row);
}

void CodedSide::mark(Index kv_head, Index slot, bool sink) {
    check(slot < float_slots_ || !sink, "coded rows: a sink in slot ", slot,
          ", which is above its position");
    if (slot < float_slots_) at(is_sink_, kv_head * float_slots_ + slot) = sink ? 1 : 0;
}

void CodedSide::finish_rows(Index past, Index T) {
    if (tiles_.grouped()) encode_groups(past, T);
}

// ANCHOR: encode_groups
// Each group as soon as its last token is there; that they are read later is coded_until()'s
// business. A sink is in no group: for the range it counts as the group's first other token.
void CodedSide::encode_groups(Index past, Index T) {
    for (Index group = past / kScaleBlock; (group + 1) * kScaleBlock <= past + T; ++group)
        for (Index h = 0; h < kv_heads_; ++h) {
            for (Index s = kScaleBlock - 1; s >= 0; --s) {
                const Index slot = group * kScaleBlock + s;
                const Index stand_in = std::max(slot, options_.sinks);
                float* const row = group_.data() + s * head_dim_;
                if (stand_in < (group + 1) * kScaleBlock)
                    recent_.read(h, stand_in, row);
                else
                    std::fill_n(row, head_dim_, 0.0f);
            }
            tiles_.write_group(h, group, group_);
        }
}

// ANCHOR_END: encode_groups

// ANCHOR: read
const float* CodedSide::read(Index kv_head, Index tile, Index seen, float* scratch) const {
    const float* const lies = tiles_.read(kv_head, tile, scratch);
    const Index first = tile * kTile, end = first + kTile;
    const bool waiting = waits() && end > coded_until(seen);
    if (first >= float_slots_ && !waiting) return lies;
    const bool keys = side_ == CodedTiles::Side::keys;
    const Index row = keys ? 1 : padded_dim_, column = keys ? kTile : 1;  // steps in a tile
    bool copied = lies == scratch;
    const auto copy_once = [&] {
        if (!copied) std::copy_n(lies, kTile * padded_dim_, scratch);
        copied = true;
    };
    for (Index slot = first; slot < std::min(end, float_slots_); ++slot) {
        if (!is_sink(kv_head, slot)) continue;
        copy_once();
        for (Index i = 0; i < head_dim_; ++i)
            scratch[(slot - first) * row + i * column] = floats_(kv_head, slot, i);
    }
    if (!waiting) return copied ? scratch : lies;
    copy_once();
    for (Index slot = std::max({first, options_.sinks, coded_until(seen)});
         slot < std::min(end, seen + 1); ++slot)
        recent_.read(kv_head, slot, scratch + (slot - first) * row, column);
    return scratch;
}

// ANCHOR_END: read

float CodedSide::number(Index kv_head, Index slot, Index seen, Index i) const {
    if (is_sink(kv_head, slot)) return floats_(kv_head, slot, i);
    if (slot < coded_until(seen) || !waits()) return tiles_.number(kv_head, slot, i);
    float row[CodedRow::kMost];
    recent_.read(kv_head, slot, row);
    return row[i];
}

// ANCHOR: bytes
Index CodedSide::held_bytes(Index count) const {
    return bytes_of(count, coded_until(count));
}

Index CodedSide::seen_bytes(Index position) const {
    return bytes_of(position + 1, coded_until(position));
}

Index CodedSide::bytes_of(Index count, Index until) const {
    Index sinks = 0;
    for (Index h = 0; h < kv_heads_; ++h)
        for (Index slot = 0; slot < std::min(count, float_slots_); ++slot)
            sinks += is_sink(h, slot) ? 1 : 0;
    // Sinks are the first tokens, so none of KIVI's waits.
    const Index coded = waits() ? std::max(until, std::min(count, options_.sinks)) : count;
    return sinks * head_dim_ * Index{sizeof(float)} +
           (kv_heads_ * coded - sinks) * tiles_.row_bytes() +
           kv_heads_ * (count - coded) * head_dim_ * 2;
}

// ANCHOR_END: bytes

Index CodedSide::allocated_bytes() const {
    return tiles_.allocated_bytes() + floats_.size() * Index{sizeof(float)} +
           std::ssize(is_sink_) + recent_.allocated_bytes();
}

void CodedSide::visit_memory(const VisitMemory& visit) {
    visit(tiles_.memory());
    visit(std::as_writable_bytes(floats_.flat()));
    visit(std::as_writable_bytes(std::span(is_sink_)));
    visit(recent_.memory());
}

bool CodedSide::can_truncate(Index length, Index to) const {
    if (!waits() || to == length || to == 0) return true;
    // What waited for the first `to` tokens has to wait still.
    return coded_until(to) >= coded_until(length);
}

void CodedSide::copy_from(const CodedSide& other, Index count) {
    tiles_.copy_from(other.tiles_, count);
    if (waits()) recent_ = other.recent_.clone();
    for (Index h = 0; h < kv_heads_; ++h)
        for (Index slot = 0; slot < std::min({count, float_slots_, other.float_slots_}); ++slot)
            copy_sink(other, h, slot, slot);
}

void CodedSide::copy_sink(const CodedSide& other, Index kv_head, Index from, Index to) {
    const bool sink = other.is_sink(kv_head, from);
    mark(kv_head, to, sink);
    if (sink)
        std::copy_n(&other.floats_(kv_head, from, 0), head_dim_, &floats_(kv_head, to, 0));
}

void CodedSide::move_slot(Index kv_head, Index from, Index to) {
    tiles_.copy_slot(tiles_, kv_head, from, to);
    copy_sink(*this, kv_head, from, to);
}

}  // namespace kvlab
