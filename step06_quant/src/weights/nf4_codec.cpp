// NF4 (Dettmers et al. 2023, QLoRA, section 3): 16 levels, quantiles of a normal distribution
// with 0 among them, scaled by the largest magnitude of each 64 numbers.
#include <algorithm>
#include <cmath>

#include <kvlab/quant/weight_codec.hpp>

#include "codec_bytes.hpp"

namespace kvlab {

namespace {

constexpr Index kBlock = 64;    // numbers with one magnitude
constexpr Index kBlocks = 256;  // magnitudes with one step, where they are bytes

constexpr float kLevels[16] = {-1.0f,        -0.6961928f,  -0.52507305f,  -0.3949175f,
                               -0.28444138f, -0.18477343f, -0.091050036f, 0.0f,
                               0.0795803f,   0.1609302f,   0.2461123f,    0.33791524f,
                               0.44070983f,  0.562617f,    0.72295684f,   1.0f};

// ANCHOR: nf4
// The nearest level; a number halfway between two takes the lower.
int nf4_code(float y) {
    // SOLUTION-BEGIN 6.4
    int code = 0;
    while (code < 15 && y > (kLevels[code] + kLevels[code + 1]) / 2) ++code;
    return code;
    // SOLUTION-END 6.4
}

// The first of two codes is in the HIGH half of a byte: the other way round than in files of
// this project's own types.
std::byte two_codes(int first, int second) {
    // SOLUTION-BEGIN 6.4
    return static_cast<std::byte>(first << 4 | second);
    // SOLUTION-END 6.4
}

// ANCHOR_END: nf4

Index blocks_of(Index numbers) {
    return (numbers + kBlock - 1) / kBlock;
}

Index steps_of(Index numbers) {
    return (blocks_of(numbers) + kBlocks - 1) / kBlocks;
}

// ANCHOR: magnitudes
// The largest |x| of each block; the last block may have fewer numbers.
std::vector<float> magnitudes_of(std::span<const float> x) {
    std::vector<float> largest;
    // SOLUTION-BEGIN 6.4
    for (std::size_t i = 0; i < x.size(); ++i) {
        if (i % kBlock == 0) largest.push_back(0);
        largest.back() = std::max(largest.back(), std::fabs(x[i]));
    }
    // SOLUTION-END 6.4
    return largest;
}

// ANCHOR_END: magnitudes

// Magnitudes as bytes: the mean is taken off, and what is left has one step per 256 of them,
// where bitsandbytes takes the places of a table whose steps grow with the distance. A
// magnitude is never negative, so neither is what comes back.
struct Magnitudes {
    float mean = 0;
    std::vector<float> steps;
    std::vector<std::int8_t> codes;

    explicit Magnitudes(const std::vector<float>& all) {
        double sum = 0;
        for (const float a : all) sum += static_cast<double>(a);
        mean = static_cast<float>(sum / static_cast<double>(all.size()));
        for (std::size_t first = 0; first < all.size(); first += kBlocks) {
            const std::size_t last = std::min(first + kBlocks, all.size());
            float largest = 0;
            for (std::size_t i = first; i < last; ++i)
                largest = std::max(largest, std::fabs(all[i] - mean));
            const float step = largest / 127.0f;
            steps.push_back(step);
            for (std::size_t i = first; i < last; ++i)
                codes.push_back(static_cast<std::int8_t>(
                    step == 0
                        ? 0.0f
                        : std::clamp(std::nearbyint((all[i] - mean) / step), -127.0f, 127.0f)));
        }
    }

    static float value(float mean, float step, std::int8_t code) {
        return std::max(0.0f, mean + step * static_cast<float>(code));
    }
};

class Nf4Codec final : public WeightCodec {
public:
    explicit Nf4Codec(bool twice) : twice_(twice) {}

    std::string name() const override { return twice_ ? "nf4-twice" : "nf4"; }

    bool takes(Index) const override { return true; }

    Index bytes(Index N, Index K) const override {
        return header_bytes(N * K) + (N * K + 1) / 2;
    }

    std::vector<std::byte> encode(const View<const float>& w) const override {
        codec::check_matrix(*this, w);
        const std::span<const float> x = w.flat();
        codec::Writer out(bytes(w.dim(0), w.dim(1)));
        const std::vector<float> largest = magnitudes_of(x);
        put_magnitudes(largest, out);
        // A block of zeros has nothing to divide by; its code is that of 0.
        const auto code = [&](std::size_t i) {
            const float a = i < x.size() ? largest[i / kBlock] : 0.0f;
            return nf4_code(a == 0 ? 0.0f : x[i] / a);
        };
        for (std::size_t i = 0; i < x.size(); i += 2) out.put(two_codes(code(i), code(i + 1)));
        return out.take();
    }

    void decode(std::span<const std::byte> in, const View<float>& w) const override {
        codec::check_bytes(*this, in, w);
        const std::span<float> x = w.flat();
        const auto numbers = std::ssize(x);
        const std::byte* codes = in.data() + header_bytes(numbers);
        for (Index i = 0; i < numbers; ++i) {
            const int pair = std::to_integer<int>(codes[i / 2]);
            at(x, i) = magnitude(in.data(), numbers, i / kBlock) *
                       kLevels[i % 2 == 0 ? pair >> 4 : pair & 15];
        }
    }

private:
    static constexpr Index kFloat = sizeof(float);

    Index header_bytes(Index numbers) const {
        return twice_ ? kFloat + steps_of(numbers) * kFloat + blocks_of(numbers)
                      : blocks_of(numbers) * kFloat;
    }

    void put_magnitudes(const std::vector<float>& largest, codec::Writer& out) const {
        if (!twice_) {
            for (const float a : largest) out.put(a);
            return;
        }
        const Magnitudes coded(largest);
        out.put(coded.mean);
        for (const float step : coded.steps) out.put(step);
        for (const std::int8_t code : coded.codes) out.put(code);
    }

    float magnitude(const std::byte* in, Index numbers, Index block) const {
        if (!twice_) return codec::load<float>(in + block * kFloat);
        const std::byte* steps = in + kFloat;
        const std::byte* codes = steps + steps_of(numbers) * kFloat;
        return Magnitudes::value(codec::load<float>(in),
                                 codec::load<float>(steps + block / kBlocks * kFloat),
                                 codec::load<std::int8_t>(codes + block));
    }

    bool twice_;
};

}  // namespace

std::unique_ptr<WeightCodec> make_nf4_codec(bool twice) {
    return std::make_unique<Nf4Codec>(twice);
}

}  // namespace kvlab
