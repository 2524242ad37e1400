// Quantising to Q4_K: ggml's reference (quantize_row_q4_K_ref and make_qkx2_quants of
// ggml-quants.c) operation by operation, so that the bytes are the same.
//
// A group of 32 numbers is x = scale * code - minimum, code 0 to 15. A line through smallest
// and largest number is not the best: 21 slightly different steps are tried, each gives codes,
// and for codes that are given the best scale and minimum follow from weighted least squares.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "block_bytes.hpp"

namespace kvlab::detail {

namespace {

constexpr std::size_t kGroup = 32, kGroups = 8;
constexpr int kTop = 15;     // the largest code
constexpr int kTrials = 21;  // steps that are tried

using Codes = std::array<std::uint8_t, kGroup>;

struct Fit {
    float scale = 0, minimum = 0;  // of x = scale * code - minimum
    Codes codes{};
};

// The nearest integer, ties to even, for |x| < 2^22: adding 1.5 * 2^23 leaves it in the lowest
// bits of the float. What infinities and NaN give is defined by that, too.
int nearest(float x) {
    const auto bits = std::bit_cast<std::uint32_t>(x + 12582912.0f);
    return static_cast<int>(bits & 0x007fffffu) - 0x00400000;
}

std::uint8_t code_of(float x) {
    return static_cast<std::uint8_t>(std::clamp(nearest(x), 0, kTop));
}

// Large numbers count for more: |x| plus the group's root mean square.
std::array<float, kGroup> weights_of(const float* x) {
    float squares = 0;
    for (std::size_t i = 0; i < kGroup; ++i) squares += x[i] * x[i];
    const float mean = std::sqrt(squares / static_cast<float>(kGroup));
    std::array<float, kGroup> weights{};
    for (std::size_t i = 0; i < kGroup; ++i) weights[i] = mean + std::fabs(x[i]);
    return weights;
}

float error_of(const float* x, const float* weights, const Fit& fit) {
    float error = 0;
    for (std::size_t i = 0; i < kGroup; ++i) {
        const float off = fit.scale * static_cast<float>(fit.codes[i]) - fit.minimum - x[i];
        error += weights[i] * (off * off);
    }
    return error;
}

// The line of least weighted squared error for codes that are given; false if they do not
// determine one. A minimum is never above 0.
bool solve(const float* x, const float* weights, float weight_sum, float value_sum, Fit* fit) {
    float codes = 0, squares = 0, products = 0;
    for (std::size_t i = 0; i < kGroup; ++i) {
        const float code = static_cast<float>(fit->codes[i]), weighted = weights[i] * code;
        codes += weighted;
        squares += weighted * code;
        products += weighted * x[i];
    }
    const float determinant = weight_sum * squares - codes * codes;
    if (!(determinant > 0)) return false;
    fit->scale = (weight_sum * products - value_sum * codes) / determinant;
    const float least = (squares * value_sum - codes * products) / determinant;
    fit->minimum = -least;
    if (least > 0) {
        fit->minimum = 0;
        fit->scale = products / squares;
    }
    return true;
}

// ANCHOR: fit_group
Fit fit_group(const float* x) {
    const auto weights = weights_of(x);
    float least = x[0], most = x[0];
    float weight_sum = weights[0], value_sum = weights[0] * x[0];
    for (std::size_t i = 1; i < kGroup; ++i) {
        if (x[i] < least) least = x[i];
        if (x[i] > most) most = x[i];
        weight_sum += weights[i];
        value_sum += weights[i] * x[i];
    }
    if (least > 0) least = 0;
    Fit best;
    best.minimum = -least;
    if (most == least) return best;
    // From the best minimum so far: each trial starts where the last success ended.
    const auto codes_at = [&](float steps) {
        Codes codes{};
        const float low = -best.minimum, inverse = steps / (most - low);
        for (std::size_t i = 0; i < kGroup; ++i) codes[i] = code_of(inverse * (x[i] - low));
        return codes;
    };
    best.scale = 1.0f / (static_cast<float>(kTop) / (most - least));
    best.codes = codes_at(static_cast<float>(kTop));
    float best_error = error_of(x, weights.data(), best);
    for (int trial = 0; trial < kTrials; ++trial) {
        Fit fit;
        fit.codes =
            codes_at(-1.0f + 0.1f * static_cast<float>(trial) + static_cast<float>(kTop));
        if (!solve(x, weights.data(), weight_sum, value_sum, &fit)) continue;
        const float error = error_of(x, weights.data(), fit);
        if (error < best_error) {
            best_error = error;
            best = fit;
        }
    }
    return best;
}

// ANCHOR_END: fit_group

// Six bits each, as tensor_type.hpp draws them.
void pack_scales(const std::array<std::uint8_t, kGroups>& scales,
                 const std::array<std::uint8_t, kGroups>& minima,
                 std::byte* out) {
    for (std::size_t j = 0; j < 4; ++j) {
        out[j] = static_cast<std::byte>(scales[j] | scales[j + 4] >> 4 << 6);
        out[j + 4] = static_cast<std::byte>(minima[j] | minima[j + 4] >> 4 << 6);
        out[j + 8] = static_cast<std::byte>((scales[j + 4] & 15) | (minima[j + 4] & 15) << 4);
    }
}

std::uint8_t six_bits(float x) {
    return std::min<std::uint8_t>(63, static_cast<std::uint8_t>(nearest(x)));
}

// The codes again, for the scale and the minimum that the reader will have. A scale of 0 leaves
// those of the search: they mean nothing.
void code_again(const float* x, float scale, float minimum, Codes* codes) {
    if (scale == 0) return;
    for (std::size_t i = 0; i < kGroup; ++i) (*codes)[i] = code_of((x[i] + minimum) / scale);
}

float rounded_to_half(const std::byte* half) {
    std::uint16_t bits = 0;
    std::memcpy(&bits, half, sizeof bits);
    return f16_to_f32(bits);
}

}  // namespace

// ANCHOR: quantize_q4_k
void quantize_q4_k(const float* x, std::byte* out) {
    std::array<Fit, kGroups> fits;
    float largest_scale = 0, largest_minimum = 0;
    for (std::size_t j = 0; j < kGroups; ++j) {
        fits[j] = fit_group(x + j * kGroup);
        largest_scale = std::max(largest_scale, fits[j].scale);
        largest_minimum = std::max(largest_minimum, fits[j].minimum);
    }
    const float to_scale = largest_scale > 0 ? 63.0f / largest_scale : 0.0f;
    const float to_minimum = largest_minimum > 0 ? 63.0f / largest_minimum : 0.0f;
    std::array<std::uint8_t, kGroups> scales{}, minima{};
    for (std::size_t j = 0; j < kGroups; ++j) {
        scales[j] = six_bits(to_scale * fits[j].scale);
        minima[j] = six_bits(to_minimum * fits[j].minimum);
    }
    store_half(out, largest_scale / 63.0f, TensorType::q4_k);
    store_half(out + 2, largest_minimum / 63.0f, TensorType::q4_k);
    pack_scales(scales, minima, out + 4);
    const float d = rounded_to_half(out), dmin = rounded_to_half(out + 2);
    for (std::size_t j = 0; j < kGroups; ++j)
        code_again(x + j * kGroup, d * static_cast<float>(scales[j]),
                   dmin * static_cast<float>(minima[j]), &fits[j].codes);
    for (std::size_t j = 0; j < kGroups; j += 2)
        for (std::size_t i = 0; i < kGroup; ++i)
            out[16 + j / 2 * kGroup + i] =
                static_cast<std::byte>(fits[j].codes[i] | fits[j + 1].codes[i] << 4);
}

// ANCHOR_END: quantize_q4_k

}  // namespace kvlab::detail
