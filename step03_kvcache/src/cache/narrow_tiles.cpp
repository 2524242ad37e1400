#include <kvlab/kvcache/narrow_tiles.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>

#include <kvlab/tensor/half.hpp>
#include <kvlab/tensor/numerics.hpp>
#include <kvlab/tensor/simd_level.hpp>
#include <kvlab/tensor/tensor_kernels.hpp>

namespace kvlab {

namespace {

std::uint16_t to_f16(float value) {
    const std::uint16_t half = f32_to_f16(value);
    check((half & 0x7c00u) != 0x7c00u, "f16 cache: ", value, " does not fit");
    return half;
}

}  // namespace

F16Tiles::F16Tiles(Index slots, Index kv_heads, Index head_dim)
    : LayerRows(slots, kv_heads, head_dim),
      memory_(allocated_bytes(), Memory::Fill::zeros),
      expand_(tensor_kernels(default_simd_level()).f16->expand) {}

Index F16Tiles::allocated_bytes() const {
    return kv_heads_ * tiles_ * kTile * (head_dim_ + padded_dim()) * 2;
}

std::unique_ptr<LayerRows> F16Tiles::make(Index slots) const {
    return std::make_unique<F16Tiles>(slots, kv_heads_, head_dim_);
}

std::uint16_t* F16Tiles::keys(Index kv_head, Index tile) const {
    auto* all = reinterpret_cast<std::uint16_t*>(const_cast<std::byte*>(memory_.data()));
    return all + (kv_head * tiles_ + tile) * kTile * head_dim_;
}

std::uint16_t* F16Tiles::values(Index kv_head, Index tile) const {
    return keys(kv_heads_, 0) + (kv_head * tiles_ + tile) * kTile * padded_dim();
}

// ANCHOR: f16
void F16Tiles::write_slots(Index first,
                           Index /*position*/,
                           const View<const float>& k,
                           const View<const float>& v) {
    for (Index h = 0; h < kv_heads_; ++h)
        for (Index t = 0; t < k.dim(0); ++t) {
            const Index tile = (first + t) / kTile, place = (first + t) % kTile;
            for (Index i = 0; i < head_dim_; ++i) {
                keys(h, tile)[i * kTile + place] = to_f16(k(t, h, i));
                values(h, tile)[place * padded_dim() + i] = to_f16(v(t, h, i));
            }
        }
}

// ANCHOR_END: f16

// A tile is rows of 64 numbers, as a panel of weights is: the kernel that expands those, at
// most 64 rows at a time, does.
const float* F16Tiles::expand(const std::uint16_t* from, Index rows, float* scratch) const {
    for (Index row = 0; row < rows; row += kTile)
        expand_(0, std::min(kTile, rows - row),
                reinterpret_cast<const std::byte*>(from + row * kTile), scratch + row * kTile);
    return scratch;
}

const float* F16Tiles::read_keys(Index kv_head, Index tile, float* scratch) const {
    return expand(keys(kv_head, tile), head_dim_, scratch);
}

const float* F16Tiles::read_values(Index kv_head, Index tile, float* scratch) const {
    return expand(values(kv_head, tile), padded_dim(), scratch);
}

void F16Tiles::copy_slots(const LayerRows& rows, Index count) {
    const auto& other = static_cast<const F16Tiles&>(rows);
    // SOLUTION-BEGIN 3.2
    const Index tiles = blocks_for(count, kTile);
    for (Index h = 0; h < kv_heads_; ++h) {
        std::copy_n(other.keys(h, 0), tiles * kTile * head_dim_, keys(h, 0));
        std::copy_n(other.values(h, 0), tiles * kTile * padded_dim(), values(h, 0));
    }
    // SOLUTION-END 3.2
}

void F16Tiles::move_slot(Index kv_head, Index from, Index to) {
    const std::uint16_t* const key = keys(kv_head, from / kTile) + from % kTile;
    std::uint16_t* const new_key = keys(kv_head, to / kTile) + to % kTile;
    for (Index i = 0; i < head_dim_; ++i) new_key[i * kTile] = key[i * kTile];
    std::copy_n(values(kv_head, from / kTile) + from % kTile * padded_dim(), head_dim_,
                values(kv_head, to / kTile) + to % kTile * padded_dim());
}

float F16Tiles::key(Index kv_head, Index slot, Index i) const {
    return f16_to_f32(keys(kv_head, slot / kTile)[i * kTile + slot % kTile]);
}

float F16Tiles::value(Index kv_head, Index slot, Index i) const {
    return f16_to_f32(values(kv_head, slot / kTile)[slot % kTile * padded_dim() + i]);
}

Int8Tiles::Int8Tiles(Index slots, Index kv_heads, Index head_dim)
    : LayerRows(slots, kv_heads, head_dim), memory_(allocated_bytes(), Memory::Fill::zeros) {}

std::unique_ptr<LayerRows> Int8Tiles::make(Index slots) const {
    return std::make_unique<Int8Tiles>(slots, kv_heads_, head_dim_);
}

Index Int8Tiles::tile_bytes() const {
    return kTile * (2 * Index{sizeof(float)} + head_dim_ + padded_dim());
}

Index Int8Tiles::allocated_bytes() const {
    return kv_heads_ * tiles_ * tile_bytes();
}

Int8Tiles::Tile Int8Tiles::tile(Index kv_head, Index tile) const {
    auto* scales = reinterpret_cast<float*>(const_cast<std::byte*>(memory_.data()) +
                                            (kv_head * tiles_ + tile) * tile_bytes());
    auto* codes = reinterpret_cast<std::int8_t*>(scales + 2 * kTile);
    return {scales, scales + kTile, codes, codes + kTile * head_dim_};
}

// ANCHOR: int8
float int8_scale(float largest) {
    const float scale = largest / 127.0f;
    // Rounded up, the scale of the very largest float would come back as infinity.
    return is_finite(scale * 127.0f) ? scale : std::nextafter(scale, 0.0f);
}

float quantize_int8(const float* x, Index x_stride, Index n, std::int8_t* codes, Index stride) {
    // SOLUTION-BEGIN 3.5
    float largest = 0.0f;
    for (Index i = 0; i < n; ++i) largest = std::max(largest, std::fabs(x[i * x_stride]));
    const float scale = int8_scale(largest);
    for (Index i = 0; i < n; ++i) {
        // A scale that underflowed to 0 stands for numbers too small to matter. The quotient is
        // at most 127 but for rounding.
        const float q = scale == 0.0f ? 0.0f : std::nearbyint(x[i * x_stride] / scale);
        codes[i * stride] = static_cast<std::int8_t>(std::clamp(q, -127.0f, 127.0f));
    }
    return scale;
    // SOLUTION-END 3.5
}

// ANCHOR_END: int8

void Int8Tiles::write_slots(Index first,
                            Index /*position*/,
                            const View<const float>& k,
                            const View<const float>& v) {
    for (Index h = 0; h < kv_heads_; ++h)
        for (Index t = 0; t < k.dim(0); ++t) {
            const Tile at = tile(h, (first + t) / kTile);
            const Index place = (first + t) % kTile;
            for (const auto* row : {&k, &v})
                for (Index i = 0; i < head_dim_; ++i)
                    check(is_finite((*row)(t, h, i)), "int8 cache: found ", (*row)(t, h, i));
            // SOLUTION-BEGIN 3.5
            at.key_scales[place] =
                quantize_int8(&k(t, h, 0), k.stride(2), head_dim_, at.keys + place, kTile);
            at.value_scales[place] = quantize_int8(&v(t, h, 0), v.stride(2), head_dim_,
                                                   at.values + place * padded_dim(), 1);
            // SOLUTION-END 3.5
        }
}

const float* Int8Tiles::read_keys(Index kv_head, Index tile_index, float* scratch) const {
    const Tile at = tile(kv_head, tile_index);
    // SOLUTION-BEGIN 3.5
    for (Index i = 0; i < head_dim_; ++i)
        for (Index s = 0; s < kTile; ++s)
            scratch[i * kTile + s] =
                static_cast<float>(at.keys[i * kTile + s]) * at.key_scales[s];
    // SOLUTION-END 3.5
    return scratch;
}

const float* Int8Tiles::read_values(Index kv_head, Index tile_index, float* scratch) const {
    const Tile at = tile(kv_head, tile_index);
    // SOLUTION-BEGIN 3.5
    const Index width = padded_dim();
    for (Index s = 0; s < kTile; ++s)
        for (Index i = 0; i < width; ++i)
            scratch[s * width + i] =
                static_cast<float>(at.values[s * width + i]) * at.value_scales[s];
    // SOLUTION-END 3.5
    return scratch;
}

void Int8Tiles::copy_slots(const LayerRows& rows, Index count) {
    const auto& other = static_cast<const Int8Tiles&>(rows);
    const Index tiles = blocks_for(count, kTile);
    for (Index h = 0; h < kv_heads_; ++h)
        std::copy_n(other.memory_.data() + h * other.tiles_ * tile_bytes(),
                    tiles * tile_bytes(), memory_.data() + h * tiles_ * tile_bytes());
}

void Int8Tiles::move_slot(Index kv_head, Index from, Index to) {
    const Tile old = tile(kv_head, from / kTile), now = tile(kv_head, to / kTile);
    const Index at = from % kTile, place = to % kTile;
    now.key_scales[place] = old.key_scales[at];
    now.value_scales[place] = old.value_scales[at];
    for (Index i = 0; i < head_dim_; ++i)
        now.keys[i * kTile + place] = old.keys[i * kTile + at];
    std::copy_n(old.values + at * padded_dim(), head_dim_, now.values + place * padded_dim());
}

float Int8Tiles::key(Index kv_head, Index slot, Index i) const {
    const Tile at = tile(kv_head, slot / kTile);
    const Index place = slot % kTile;
    return static_cast<float>(at.keys[i * kTile + place]) * at.key_scales[place];
}

float Int8Tiles::value(Index kv_head, Index slot, Index i) const {
    const Tile at = tile(kv_head, slot / kTile);
    const Index place = slot % kTile;
    return static_cast<float>(at.values[place * padded_dim() + i]) * at.value_scales[place];
}

}  // namespace kvlab
