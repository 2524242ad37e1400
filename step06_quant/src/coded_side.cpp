#include <kvlab/quant/coded_side.hpp>

#include <algorithm>

#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

namespace {

constexpr Index kTileSlots = 64;

}  // namespace

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
      tiles_(options.code, side, slots, kv_heads, head_dim, level) {
    check(options.sinks >= 0, "quant cache: ", options.sinks, " sinks");
    options_.sinks = std::min(options.sinks, slots);
    if (options_.sinks > 0) sinks_ = Tensor({kv_heads, options_.sinks, head_dim});
    if (!waits()) return;
    check(options.residual >= kCodeBlock && options.residual % kCodeBlock == 0,
          "kivi: a residual of ", options.residual, " tokens is no multiple of ", kCodeBlock);
    recent_ = RecentRows(checked_sum("kivi", {options.residual, 1}), kv_heads, head_dim);
    group_.resize(static_cast<std::size_t>(kCodeBlock * head_dim));
}

// ANCHOR: coded_until
Index CodedSide::coded_until(Index seen) const {
    if (!waits()) return seen + 1;
    const Index R = options_.residual;
    return side_ == CodedTiles::Side::keys ? seen - seen % R : std::max<Index>(0, seen - R);
}

// ANCHOR_END: coded_until

void CodedSide::begin(Index past, Index T) {
    const Index needed = checked_sum("kivi", {options_.residual, T});
    if (waits() && recent_.capacity() < needed)
        recent_.resize(needed, waiting_since(past), past);
}

void CodedSide::write(Index kv_head, Index slot, std::span<float> row) {
    if (slot < options_.sinks) {
        check(all_finite(row), kv_code_name(options_.code), " cache: a number is not finite");
        std::copy(row.begin(), row.end(), &sinks_(kv_head, slot, 0));
        return;
    }
    if (waits()) recent_.write(kv_head, slot, row);
    if (!tiles_.grouped()) tiles_.write(kv_head, slot, row);
}

void CodedSide::finish_rows(Index past, Index T) {
    if (tiles_.grouped()) encode_groups(past, T);
}

// ANCHOR: encode_groups
// Each group as soon as its last token is there; that they are read later is coded_until()'s
// business. A sink is in no group: for the range it counts as the group's first other token.
void CodedSide::encode_groups(Index past, Index T) {
    for (Index group = past / kCodeBlock; (group + 1) * kCodeBlock <= past + T; ++group)
        for (Index h = 0; h < kv_heads_; ++h) {
            for (Index s = kCodeBlock - 1; s >= 0; --s) {
                const Index slot = group * kCodeBlock + s;
                const Index stand_in = std::max(slot, options_.sinks);
                float* const row = group_.data() + s * head_dim_;
                if (stand_in < (group + 1) * kCodeBlock)
                    recent_.read(h, stand_in, row);
                else
                    std::fill_n(row, head_dim_, 0.0f);
            }
            tiles_.write_group(h, group, group_);
        }
}

// ANCHOR_END: encode_groups

void CodedSide::commit(Index past, Index T) {
    const Index steady = options_.residual + 1;
    if (waits() && recent_.capacity() > steady)
        recent_.resize(steady, waiting_since(past + T), past + T);
}

const float* CodedSide::read(Index kv_head, Index tile, Index seen, float* room) const {
    const float* const lies = tiles_.read(kv_head, tile, room);
    const Index first = tile * kTileSlots, end = first + kTileSlots;
    const bool waiting = waits() && end > coded_until(seen);
    if (first >= options_.sinks && !waiting) return lies;
    if (lies != room) std::copy_n(lies, kTileSlots * padded_dim_, room);
    overlay(kv_head, tile, seen, room);
    return room;
}

void CodedSide::overlay(Index kv_head, Index tile, Index seen, float* room) const {
    const bool keys = side_ == CodedTiles::Side::keys;
    const Index stride = keys ? kTileSlots : 1, step = keys ? 1 : padded_dim_;
    const Index first = tile * kTileSlots, end = first + kTileSlots;
    Index slot = first;
    for (; slot < std::min(end, options_.sinks); ++slot)
        for (Index i = 0; i < head_dim_; ++i)
            room[(slot - first) * step + i * stride] = sinks_(kv_head, slot, i);
    if (!waits()) return;
    for (slot = std::max(slot, coded_until(seen)); slot < std::min(end, seen + 1); ++slot)
        recent_.read(kv_head, slot, room + (slot - first) * step, stride);
}

float CodedSide::number(Index kv_head, Index slot, Index seen, Index i) const {
    if (slot < options_.sinks) return sinks_(kv_head, slot, i);
    if (slot < coded_until(seen)) return tiles_.number(kv_head, slot, i);
    float row[CodedRow::kMost];
    recent_.read(kv_head, slot, row);
    return row[i];
}

// ANCHOR: bytes
Index CodedSide::logical_bytes(Index length) const {
    const Index sinks = std::min(options_.sinks, length);
    const Index coded = waits() ? std::max(coded_until(length), sinks) : length;
    return kv_heads_ * (sinks * head_dim_ * 4 + (coded - sinks) * tiles_.row_bytes() +
                        (length - coded) * head_dim_ * 2);
}

// ANCHOR_END: bytes

Index CodedSide::allocated_bytes() const {
    return tiles_.allocated_bytes() + sinks_.size() * 4 + recent_.allocated_bytes();
}

bool CodedSide::can_truncate(Index length, Index to) const {
    if (!waits() || to == length || to == 0) return true;
    // What waited for the first `to` tokens has to wait still.
    return coded_until(to) >= coded_until(length);
}

void CodedSide::copy_from(const CodedSide& other, Index length) {
    tiles_.copy_from(other.tiles_, length);
    if (sinks_.size() > 0) sinks_ = other.sinks_.clone();
    if (waits()) recent_ = other.recent_.clone();
}

}  // namespace kvlab
