#include <kvlab/quant/coded_tiles.hpp>

#include <algorithm>
#include <bit>
#include <cstring>

#include <kvlab/attention/layer_rows.hpp>
#include <kvlab/quant/packed_codes.hpp>

namespace kvlab {

namespace {

constexpr Index kChunk = 16;  // numbers

Index whole_lines(Index bytes) {
    constexpr Index kLine = static_cast<Index>(kAlignment);
    return (bytes + kLine - 1) / kLine * kLine;
}

}  // namespace

CodedTiles::CodedTiles(Format format,
                       Side side,
                       Index slots,
                       Index kv_heads,
                       Index head_dim,
                       SimdLevel level,
                       std::uint64_t seed)
    : format_(format),
      side_(side),
      tiles_(tiles_for("coded tiles", slots, kv_heads, head_dim)),
      kv_heads_(kv_heads),
      head_dim_(head_dim),
      padded_dim_((head_dim + 15) / 16 * 16),
      kernels_(&expand_kernels(level)) {
    check_row_format(format, head_dim, side == Side::keys);
    const KvFormat& traits = *format;
    scales_ = traits.scales == Scales::none     ? 0
              : traits.scales == Scales::of_row ? kTile
                                                : kTile * padded_dim_ / kScaleBlock;
    scale_bytes_ = traits.scales == Scales::of_row ? 4 : 2;
    has_second_ = traits.offset || traits.sketch;
    codes_at_ = whole_lines(scales_ * scale_bytes_) * (has_second_ ? 2 : 1);
    tile_bytes_ = codes_at_ + whole_lines(kTile * padded_dim_ * traits.bits / 8);
    memory_ = Memory(allocated_bytes(), Memory::Fill::zeros);
    if (traits.sketch) sketch_ = SignSketch(head_dim, seed);
}

const std::byte* CodedTiles::tile(Index kv_head, Index tile) const {
    return memory_.data() + (kv_head * tiles_ + tile) * tile_bytes_;
}

std::byte* CodedTiles::tile(Index kv_head, Index tile) {
    return memory_.data() + (kv_head * tiles_ + tile) * tile_bytes_;
}

std::span<const std::byte> CodedTiles::tile_bytes(Index kv_head, Index index) const {
    check_slot(kv_head, std::clamp<Index>(index, -1, tiles_) * kTile);
    return {tile(kv_head, index), usize(tile_bytes_)};
}

void CodedTiles::check_slot(Index kv_head, Index slot) const {
    check(memory_ && kv_head >= 0 && kv_head < kv_heads_ && slot >= 0 && slot < slots(),
          "coded tiles: there is no slot ", slot, " of head ", kv_head);
}

// Whether a scale belongs to a column of the tile: rows of keys stand upright.
bool CodedTiles::is_across() const {
    return side_ == Side::keys && !format_->waits;
}

// A number's place in its tile.
Index CodedTiles::flat(Index slot, Index i) const {
    const Index place = slot % kTile;
    return side_ == Side::keys ? i * kTile + place : place * padded_dim_ + i;
}

// ANCHOR: scale_index
// Across: [block][64]. Along: the blocks in the order in which they lie.
Index CodedTiles::scale_index(Index slot, Index i) const {
    const Index place = slot % kTile;
    if (format_->scales == Scales::of_row) return place;
    if (is_across()) return i / kScaleBlock * kTile + place;
    return flat(slot, i) / kScaleBlock;
}

// ANCHOR_END: scale_index

float CodedTiles::scale(const std::byte* tile, Index index, bool second) const {
    const std::byte* const at = tile + (second ? codes_at_ / 2 : 0) + index * scale_bytes_;
    return load_plain(scale_bytes_ == 2 ? &formats::f16 : &formats::f32, at);
}

void CodedTiles::set_scale(std::byte* tile, Index index, float d, float m) {
    const Format kept = scale_bytes_ == 2 ? &formats::f16 : &formats::f32;
    store_plain(kept, d, tile + index * scale_bytes_);
    if (has_second_) store_plain(kept, m, tile + codes_at_ / 2 + index * scale_bytes_);
}

std::uint8_t CodedTiles::code_at(const std::byte* tile, Index flat) const {
    return packed_code(tile + codes_at_, format_->bits, flat);
}

void CodedTiles::set_code(std::byte* tile, Index flat, std::uint8_t code) {
    set_packed_code(tile + codes_at_, format_->bits, flat, code);
}

// ANCHOR: write
void CodedTiles::write(Index kv_head, Index slot, std::span<const float> row) {
    check_slot(kv_head, slot);
    check(std::ssize(row) == head_dim_ && !grouped(), "coded tiles: a row of ", row.size(),
          " numbers in ", format_->name);
    std::byte* const to = tile(kv_head, slot / kTile);
    const KvFormat& traits = *format_;
    if (traits.scales == Scales::none) {
        for (Index i = 0; i < head_dim_; ++i)
            store_plain(format_, at(row, i), to + flat(slot, i) * traits.bits / 8);
        return;
    }
    CodedRow coded;
    encode_row(format_, row, coded, sketch());
    const Index block = traits.scales == Scales::of_row ? head_dim_ : kScaleBlock;
    for (Index i = 0; i < head_dim_; ++i) {
        const auto b = usize(i / block);
        if (i % block == 0) set_scale(to, scale_index(slot, i), coded.d[b], coded.m[b]);
        set_code(to, flat(slot, i), at(coded.codes, i));
    }
}

// ANCHOR_END: write

// ANCHOR: write_group
void CodedTiles::write_group(Index kv_head, Index group, std::span<const float> rows) {
    const Index first = std::clamp<Index>(group, -1, slots() / kScaleBlock) * kScaleBlock;
    check_slot(kv_head, first);
    check(std::ssize(rows) == kScaleBlock * head_dim_ && grouped(), "coded tiles: a group of ",
          rows.size(), " numbers in ", format_->name);
    std::byte* const to = tile(kv_head, first / kTile);
    std::uint8_t codes[kScaleBlock];
    for (Index i = 0; i < head_dim_; ++i) {  // a channel
        float d = 0, m = 0;
        encode_group(format_->bits, rows.data() + i, head_dim_, codes, d, m);
        set_scale(to, scale_index(first, i), d, m);
        for (Index s = 0; s < kScaleBlock; ++s) set_code(to, flat(first + s, i), codes[s]);
    }
}

// ANCHOR_END: write_group

void CodedTiles::copy_slot(const CodedTiles& other, Index kv_head, Index from, Index to) {
    check_slot(kv_head, to);
    other.check_slot(kv_head, from);
    check(other.format_ == format_ && other.side_ == side_ && other.head_dim_ == head_dim_ &&
              !grouped(),
          "coded tiles: cannot copy a slot of ", other.format_->name, " into ", format_->name);
    const KvFormat& traits = *format_;
    const std::byte* const source = other.tile(kv_head, from / kTile);
    std::byte* const target = tile(kv_head, to / kTile);
    const Index number_bytes = traits.bits / 8,
                block = traits.scales == Scales::of_row ? head_dim_ : kScaleBlock;
    for (Index i = 0; i < head_dim_; ++i) {
        if (traits.scales == Scales::none) {
            std::memcpy(target + flat(to, i) * number_bytes,
                        source + flat(from, i) * number_bytes, usize(number_bytes));
            continue;
        }
        if (i % block == 0)
            set_scale(target, scale_index(to, i), scale(source, scale_index(from, i), false),
                      has_second_ ? scale(source, scale_index(from, i), true) : 0.0f);
        set_code(target, flat(to, i), code_at(source, flat(from, i)));
    }
}

void CodedTiles::copy_from(const CodedTiles& other, Index count) {
    check(memory_ && other.memory_ && other.format_ == format_ && other.side_ == side_ &&
              other.kv_heads_ == kv_heads_ && other.head_dim_ == head_dim_ && count >= 0 &&
              count <= slots() && count <= other.slots(),
          "coded tiles: cannot copy ", count, " slots");
    const Index tiles = (count + kTile - 1) / kTile;
    for (Index h = 0; h < kv_heads_; ++h)
        std::copy_n(other.tile(h, 0), tiles * tile_bytes_, tile(h, 0));
}

float CodedTiles::number(Index kv_head, Index slot, Index i) const {
    check_slot(kv_head, slot);
    const std::byte* const from = tile(kv_head, slot / kTile);
    const KvFormat& traits = *format_;
    if (traits.scales == Scales::none)
        return load_plain(format_, from + flat(slot, i) * traits.bits / 8);
    const Index index = scale_index(slot, i);
    const float first =
        decode_number(format_, code_at(from, flat(slot, i)), scale(from, index, false),
                      traits.offset ? scale(from, index, true) : 0.0f);
    const float e = traits.sketch ? scale(from, index, true) : 0.0f;
    if (e == 0.0f) return first;
    std::uint8_t codes[CodedRow::kMost];
    codes_of(from, slot, codes);
    return first + sketch_.part(format_, codes, e, i);
}

void CodedTiles::codes_of(const std::byte* tile, Index slot, std::uint8_t* codes) const {
    for (Index i = 0; i < head_dim_; ++i) codes[i] = code_at(tile, flat(slot, i));
}

// To what is expanded already. Slots without a row have an e of 0.
void CodedTiles::add_sketch(const std::byte* tile, float* scratch) const {
    const bool keys = side_ == Side::keys;
    std::uint8_t codes[CodedRow::kMost];
    for (Index slot = 0; slot < kTile; ++slot) {
        const float e = scale(tile, slot, true);
        if (e == 0.0f) continue;
        codes_of(tile, slot, codes);
        sketch_.add(format_, codes, e, scratch + slot * (keys ? 1 : padded_dim_),
                    keys ? kTile : 1);
    }
}

const float* CodedTiles::read(Index kv_head, Index index, float* scratch) const {
    const std::byte* const from = tile(kv_head, index);
    const Index chunks = kTile * padded_dim_ / kChunk;
    const bool last = kv_head == kv_heads_ - 1 && index == tiles_ - 1;
    const Index ahead = last ? 0 : tile_bytes_;
    if (format_ == &formats::f32) return reinterpret_cast<const float*>(from);
    if (format_ == &formats::f16)
        kernels_->f16(chunks, from, ahead, scratch);
    else if (format_ == &formats::bf16)
        kernels_->bf16(chunks, from, ahead, scratch);
    else if (format_ == &formats::e4m3)
        kernels_->e4m3(chunks, from, ahead, scratch);
    else if (format_ == &formats::e5m2)
        kernels_->e5m2(chunks, from, ahead, scratch);
    else
        expand(from, ahead, scratch);
    if (format_->sketch) add_sketch(from, scratch);
    return scratch;
}

// ANCHOR: expand
void CodedTiles::expand(const std::byte* from, Index ahead, float* scratch) const {
    const KvFormat& traits = *format_;
    constexpr std::size_t kMostScales = kTile * CodedRow::kMost / kChunk;
    alignas(64) float d[kMostScales], m[kMostScales];
    if (scale_bytes_ == 2)
        kernels_->f16(scales_ / kChunk, from, ahead, d);
    else
        std::memcpy(d, from, usize(scales_) * sizeof(float));
    if (traits.offset) kernels_->f16(scales_ / kChunk, from + codes_at_ / 2, ahead, m);

    const ExpandKernels::ByBits& ways = is_across() ? kernels_->across : kernels_->along;
    Expand* const way = traits.bits == 8   ? ways.eight
                        : traits.bits == 3 ? ways.three
                        : traits.bits == 4 ? (traits.offset ? ways.four_m : ways.four)
                                           : (traits.offset ? ways.two_m : ways.two);
    const Index chunks = kTile * padded_dim_ / kChunk;
    Expansion tile{chunks, from + codes_at_, d, m, traits.levels, 1, ahead, scratch};
    if (is_across() && traits.scales != Scales::of_row) {
        // A scale serves 32 rows of the tile: so many at a time.
        tile.chunks = kScaleBlock * kTile / kChunk;
        for (Index c = 0; c < chunks; c += tile.chunks) {
            way(tile);
            tile.codes += tile.chunks * kChunk * traits.bits / 8;
            tile.out += tile.chunks * kChunk;
            tile.d += kTile, tile.m += kTile;
        }
        return;
    }
    if (!is_across() && traits.scales == Scales::of_row) {
        const auto wide = usize(padded_dim_ / kChunk);  // chunks of a row
        if (std::has_single_bit(wide)) {
            tile.shift = std::countr_zero(wide);
        } else {  // a scale for each chunk, from the last on, in place
            for (Index c = chunks - 1; c >= 0; --c) d[c] = d[c / static_cast<Index>(wide)];
            tile.shift = 0;
        }
    }
    way(tile);
}

// ANCHOR_END: expand

}  // namespace kvlab
