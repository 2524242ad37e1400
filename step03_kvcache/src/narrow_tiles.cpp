#include <kvlab/kvcache/narrow_tiles.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>

#include <kvlab/tensor/half.hpp>
#include <kvlab/tensor/numerics.hpp>
#include <kvlab/tensor/tensor_kernels.hpp>

namespace kvlab {

namespace {

constexpr Index kSlots = 64;  // of a tile

std::uint16_t to_f16(float value) {
    const std::uint16_t half = f32_to_f16(value);
    check((half & 0x7c00u) != 0x7c00u, "f16 cache: ", value, " does not fit");
    return half;
}

}  // namespace

F16Tiles::F16Tiles(Index slots, Index kv_heads, Index head_dim)
    : TileReader(slots, kv_heads, head_dim),
      memory_(allocated_bytes(), Memory::Fill::zeros),
      expand_(tensor_kernels(default_simd_level()).f16->expand) {}

Index F16Tiles::allocated_bytes() const {
    return kv_heads_ * tiles_ * kSlots * (head_dim_ + padded_dim()) * 2;
}

std::uint16_t* F16Tiles::keys(Index kv_head, Index tile) const {
    auto* all = reinterpret_cast<std::uint16_t*>(const_cast<std::byte*>(memory_.data()));
    return all + (kv_head * tiles_ + tile) * kSlots * head_dim_;
}

std::uint16_t* F16Tiles::values(Index kv_head, Index tile) const {
    return keys(kv_heads_, 0) + (kv_head * tiles_ + tile) * kSlots * padded_dim();
}

// ANCHOR: f16
void F16Tiles::write(Index first, const View<const float>& k, const View<const float>& v) {
    const Index T = check_rows(first, k, v);
    for (Index h = 0; h < kv_heads_; ++h)
        for (Index t = 0; t < T; ++t) {
            const Index tile = (first + t) / kSlots, place = (first + t) % kSlots;
            for (Index i = 0; i < head_dim_; ++i) {
                keys(h, tile)[i * kSlots + place] = to_f16(k(t, h, i));
                values(h, tile)[place * padded_dim() + i] = to_f16(v(t, h, i));
            }
        }
}

// ANCHOR_END: f16

// A tile is rows of 64 numbers, as a panel of weights is: the kernel that expands those, at
// most 64 rows at a time, does.
const float* F16Tiles::expand(const std::uint16_t* from, Index rows, float* room) const {
    for (Index row = 0; row < rows; row += kSlots)
        expand_(0, std::min(kSlots, rows - row),
                reinterpret_cast<const std::byte*>(from + row * kSlots), room + row * kSlots);
    return room;
}

const float* F16Tiles::read_keys(Index kv_head, Index tile, float* room) const {
    return expand(keys(kv_head, tile), head_dim_, room);
}

const float* F16Tiles::read_values(Index kv_head, Index tile, float* room) const {
    return expand(values(kv_head, tile), padded_dim(), room);
}

void F16Tiles::copy_from(const F16Tiles& other, Index count) {
    check_copy(other, count);
    const Index tiles = (count + kSlots - 1) / kSlots;
    for (Index h = 0; h < kv_heads_; ++h) {
        std::copy_n(other.keys(h, 0), tiles * kSlots * head_dim_, keys(h, 0));
        std::copy_n(other.values(h, 0), tiles * kSlots * padded_dim(), values(h, 0));
    }
}

float F16Tiles::key(Index kv_head, Index slot, Index i) const {
    return f16_to_f32(keys(kv_head, slot / kSlots)[i * kSlots + slot % kSlots]);
}

float F16Tiles::value(Index kv_head, Index slot, Index i) const {
    return f16_to_f32(values(kv_head, slot / kSlots)[slot % kSlots * padded_dim() + i]);
}

Int8Tiles::Int8Tiles(Index slots, Index kv_heads, Index head_dim)
    : TileReader(slots, kv_heads, head_dim), memory_(allocated_bytes(), Memory::Fill::zeros) {}

Index Int8Tiles::tile_bytes() const {
    return kSlots * (2 * Index{sizeof(float)} + head_dim_ + padded_dim());
}

Index Int8Tiles::allocated_bytes() const {
    return kv_heads_ * tiles_ * tile_bytes();
}

Int8Tiles::Tile Int8Tiles::tile(Index kv_head, Index tile) const {
    auto* scales = reinterpret_cast<float*>(const_cast<std::byte*>(memory_.data()) +
                                            (kv_head * tiles_ + tile) * tile_bytes());
    auto* codes = reinterpret_cast<std::int8_t*>(scales + 2 * kSlots);
    return {scales, scales + kSlots, codes, codes + kSlots * head_dim_};
}

// ANCHOR: int8
float int8_scale(float largest) {
    const float scale = largest / 127.0f;
    // Rounded up, the scale of the very largest float would come back as infinity.
    return is_finite(scale * 127.0f) ? scale : std::nextafter(scale, 0.0f);
}

float quantize_int8(const float* x, Index x_stride, Index n, std::int8_t* codes, Index stride) {
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
}

// ANCHOR_END: int8

void Int8Tiles::write(Index first, const View<const float>& k, const View<const float>& v) {
    const Index T = check_rows(first, k, v);
    for (Index h = 0; h < kv_heads_; ++h)
        for (Index t = 0; t < T; ++t) {
            const Tile at = tile(h, (first + t) / kSlots);
            const Index place = (first + t) % kSlots;
            for (const auto* row : {&k, &v})
                for (Index i = 0; i < head_dim_; ++i)
                    check(is_finite((*row)(t, h, i)), "int8 cache: found ", (*row)(t, h, i));
            at.key_scales[place] =
                quantize_int8(&k(t, h, 0), k.stride(2), head_dim_, at.keys + place, kSlots);
            at.value_scales[place] = quantize_int8(&v(t, h, 0), v.stride(2), head_dim_,
                                                   at.values + place * padded_dim(), 1);
        }
}

const float* Int8Tiles::read_keys(Index kv_head, Index tile_index, float* room) const {
    const Tile at = tile(kv_head, tile_index);
    for (Index i = 0; i < head_dim_; ++i)
        for (Index s = 0; s < kSlots; ++s)
            room[i * kSlots + s] =
                static_cast<float>(at.keys[i * kSlots + s]) * at.key_scales[s];
    return room;
}

const float* Int8Tiles::read_values(Index kv_head, Index tile_index, float* room) const {
    const Tile at = tile(kv_head, tile_index);
    const Index width = padded_dim();
    for (Index s = 0; s < kSlots; ++s)
        for (Index i = 0; i < width; ++i)
            room[s * width + i] =
                static_cast<float>(at.values[s * width + i]) * at.value_scales[s];
    return room;
}

void Int8Tiles::copy_from(const Int8Tiles& other, Index count) {
    check_copy(other, count);
    const Index tiles = (count + kSlots - 1) / kSlots;
    for (Index h = 0; h < kv_heads_; ++h)
        std::copy_n(other.memory_.data() + h * other.tiles_ * tile_bytes(),
                    tiles * tile_bytes(), memory_.data() + h * tiles_ * tile_bytes());
}

float Int8Tiles::key(Index kv_head, Index slot, Index i) const {
    const Tile at = tile(kv_head, slot / kSlots);
    const Index place = slot % kSlots;
    return static_cast<float>(at.keys[i * kSlots + place]) * at.key_scales[place];
}

float Int8Tiles::value(Index kv_head, Index slot, Index i) const {
    const Tile at = tile(kv_head, slot / kSlots);
    const Index place = slot % kSlots;
    return static_cast<float>(at.values[place * padded_dim() + i]) * at.value_scales[place];
}

const char* kv_format_name(KvFormat format) {
    static constexpr const char* kNames[] = {"f32", "f16", "int8"};
    return kNames[static_cast<std::size_t>(format)];
}

KvFormat parse_kv_format(const std::string& name) {
    for (const KvFormat format : kKvFormats)
        if (name == kv_format_name(format)) return format;
    throw Error(concat("'", name, "' is no format of a cache; they are f32, f16 and int8"));
}

Index kv_bytes_per_token(KvFormat format, const KvShape& shape) {
    check_kv_shape("kv bytes", shape);
    const Index number = format == KvFormat::f32 ? 4 : format == KvFormat::f16 ? 2 : 1;
    const Index scales = format == KvFormat::int8 ? Index{sizeof(float)} : 0;
    return 2 * shape.layers * shape.kv_heads * (shape.head_dim * number + scales);
}

std::unique_ptr<KvStore> make_cache(KvFormat format,
                                    const KvShape& shape,
                                    Index capacity,
                                    SimdLevel level) {
    switch (format) {
        case KvFormat::f16:
            return std::make_unique<F16Cache>(shape, capacity, level);
        case KvFormat::int8:
            return std::make_unique<Int8Cache>(shape, capacity, level);
        default:
            return std::make_unique<KvCache>(shape, capacity, level);
    }
}

}  // namespace kvlab
