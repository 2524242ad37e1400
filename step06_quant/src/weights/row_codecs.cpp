// Types of files, INT8 per row, and round-to-nearest in groups of a row.
#include <algorithm>
#include <cmath>
#include <cstring>

#include <kvlab/kvcache/narrow_tiles.hpp>
#include <kvlab/quant/weight_codec.hpp>
#include <kvlab/tensor/half.hpp>
#include <kvlab/weights/quantize.hpp>

#include "codec_bytes.hpp"

namespace kvlab {

namespace {

constexpr Index kFloat = sizeof(float);

class TypeCodec final : public WeightCodec {
public:
    explicit TypeCodec(TensorType type) : type_(type) {}

    std::string name() const override { return type_name(type_); }

    bool takes(Index K) const override { return K % block_elements(type_) == 0; }

    Index bytes(Index N, Index K) const override { return N * bytes_for(type_, K); }

    std::vector<std::byte> encode(const View<const float>& w) const override {
        codec::check_matrix(*this, w);
        std::vector<std::byte> out(usize(bytes(w.dim(0), w.dim(1))));
        quantize(type_, w.flat(), out);
        return out;
    }

    void decode(std::span<const std::byte> bytes, const View<float>& w) const override {
        dequantize(type_, bytes, w.flat());
    }

    std::optional<TensorType> type() const override { return type_; }

private:
    TensorType type_;
};

// ANCHOR: int8_row
class Int8RowCodec final : public WeightCodec {
public:
    std::string name() const override { return "int8-row"; }

    bool takes(Index) const override { return true; }

    Index bytes(Index N, Index K) const override { return N * (K + kFloat); }

    std::vector<std::byte> encode(const View<const float>& w) const override {
        codec::check_matrix(*this, w);
        const Index N = w.dim(0), K = w.dim(1);
        std::vector<std::byte> out(usize(bytes(N, K)));
        auto* codes = reinterpret_cast<std::int8_t*>(out.data() + N * kFloat);
        for (Index n = 0; n < N; ++n, codes += K) {
            const float scale = quantize_int8(&w(n, 0), 1, K, codes, 1);
            std::memcpy(out.data() + n * kFloat, &scale, sizeof scale);
        }
        return out;
    }

    void decode(std::span<const std::byte> in, const View<float>& w) const override {
        codec::check_bytes(*this, in, w);
        const std::byte* codes = in.data() + w.dim(0) * kFloat;
        for (Index n = 0; n < w.dim(0); ++n) {
            const auto scale = codec::load<float>(in.data() + n * kFloat);
            const std::span<float> row = w[n].flat();
            for (float& x : row)
                x = scale * static_cast<float>(codec::load<std::int8_t>(codes++));
        }
    }
};

// ANCHOR_END: int8_row

// Codes of w bits one after the other, the first lowest.
class BitStream {
public:
    explicit BitStream(std::byte* bytes) : bytes_(bytes) {}

    void put(int code, int bits) {
        for (int b = 0; b < bits; ++b, ++at_)
            bytes_[at_ / 8] |= static_cast<std::byte>((code >> b & 1) << (at_ % 8));
    }

    int get(int bits) {
        int code = 0;
        for (int b = 0; b < bits; ++b, ++at_)
            code |= (std::to_integer<int>(bytes_[at_ / 8]) >> (at_ % 8) & 1) << b;
        return code;
    }

private:
    std::byte* bytes_;
    Index at_ = 0;  // in bits
};

class RtnCodec final : public WeightCodec {
public:
    RtnCodec(int bits, Index group) : bits_(bits), group_(group) {
        check(bits >= 2 && bits <= 8 && group > 0,
              "rtn: expected 2 to 8 bits and a group of 1 ", "or more numbers, found ", bits,
              " and ", group);
    }

    std::string name() const override { return concat("rtn", bits_, "-g", group_); }

    bool takes(Index) const override { return true; }

    Index bytes(Index N, Index K) const override { return N * row_bytes(K); }

    std::vector<std::byte> encode(const View<const float>& w) const override {
        codec::check_matrix(*this, w);
        const Index K = w.dim(1);
        std::vector<std::byte> out(usize(bytes(w.dim(0), K)));
        for (Index n = 0; n < w.dim(0); ++n) {
            std::byte* row = out.data() + n * row_bytes(K);
            BitStream codes(row + groups(K) * kHeader);
            for (Index g = 0; g < groups(K); ++g) {
                const auto part = group_of(w[n].flat(), g);
                const auto [least, most] = std::minmax_element(part.begin(), part.end());
                const Grid grid = grid_of(*least, *most, bits_);
                const std::uint16_t header[] = {f32_to_f16(grid.scale),
                                                f32_to_f16(static_cast<float>(grid.zero))};
                std::memcpy(row + g * kHeader, header, kHeader);
                for (const float x : part) codes.put(grid.code(x), bits_);
            }
        }
        return out;
    }

    void decode(std::span<const std::byte> in, const View<float>& w) const override {
        codec::check_bytes(*this, in, w);
        const Index K = w.dim(1);
        std::vector<std::byte> row(usize(row_bytes(K)));
        for (Index n = 0; n < w.dim(0); ++n) {
            std::copy_n(in.data() + n * row_bytes(K), row_bytes(K), row.data());
            BitStream codes(row.data() + groups(K) * kHeader);
            for (Index g = 0; g < groups(K); ++g) {
                const std::byte* header = row.data() + g * kHeader;
                Grid grid;
                grid.scale = f16_to_f32(codec::load<std::uint16_t>(header));
                grid.zero =
                    static_cast<int>(f16_to_f32(codec::load<std::uint16_t>(header + 2)));
                for (float& x : group_of(w[n].flat(), g)) x = grid.value(codes.get(bits_));
            }
        }
    }

private:
    static constexpr Index kHeader = 4;  // scale and zero

    Index groups(Index K) const { return (K + group_ - 1) / group_; }

    Index row_bytes(Index K) const { return groups(K) * kHeader + (K * bits_ + 7) / 8; }

    template <class Number>
    std::span<Number> group_of(std::span<Number> row, Index g) const {
        const auto first = usize(g * group_);
        return row.subspan(first, std::min(usize(group_), row.size() - first));
    }

    int bits_;
    Index group_;
};

}  // namespace

// ANCHOR: grid
int Grid::code(float x) const {
    if (scale == 0) return zero;  // nothing to divide by: every number becomes 0
    const float steps = std::nearbyint(x / scale) + static_cast<float>(zero);
    return static_cast<int>(std::clamp(steps, 0.0f, static_cast<float>(top)));
}

Grid grid_of(float least, float most, int bits) {
    least = std::min(least, 0.0f);
    most = std::max(most, 0.0f);
    Grid grid;
    grid.top = (1 << bits) - 1;
    const float step =
        most / static_cast<float>(grid.top) - least / static_cast<float>(grid.top);
    grid.scale = f16_to_f32(f32_to_f16(step));
    check(std::isfinite(grid.scale), "round to nearest: a step of ", step, " is beyond f16");
    if (grid.scale != 0)
        grid.zero = static_cast<int>(std::clamp(std::nearbyint(-least / grid.scale), 0.0f,
                                                static_cast<float>(grid.top)));
    return grid;
}

// ANCHOR_END: grid

std::unique_ptr<WeightCodec> make_type_codec(TensorType type) {
    return std::make_unique<TypeCodec>(type);
}

std::unique_ptr<WeightCodec> make_int8_row_codec() {
    return std::make_unique<Int8RowCodec>();
}

std::unique_ptr<WeightCodec> make_rtn_codec(int bits, Index group) {
    return std::make_unique<RtnCodec>(bits, group);
}

}  // namespace kvlab
