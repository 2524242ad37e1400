#include <kvlab/quant/sign_sketch.hpp>

#include <algorithm>
#include <array>
#include <cmath>

#include <kvlab/quant/coded_formats.hpp>
#include <kvlab/tensor/numerics.hpp>
#include <kvlab/tensor/random.hpp>

namespace kvlab {

namespace {

constexpr double kRootOfHalfPi = 1.25331413731550025121;
constexpr std::uint64_t kStream = 2;  // of the generator: hadamard.cpp's signs have another one

float sign_of(Format format, std::uint8_t code) {
    return (code >> (format->bits - 1) & 1) != 0 ? -1.0f : 1.0f;
}

}  // namespace

SignSketch::SignSketch(Index head_dim, std::uint64_t seed)
    : head_dim_(head_dim),
      per_length_(static_cast<float>(kRootOfHalfPi / static_cast<double>(head_dim))),
      numbers_(usize(head_dim * head_dim)) {
    Rng rng(seed, kStream);
    for (float& x : numbers_) x = rng.normal();
}

// ANCHOR: sketch_encode
// As the first stage does, of r / max|r|, so that no square leaves the range of a float.
void SignSketch::encode(Format format, std::span<const float> row, CodedRow& coded) const {
    check(std::ssize(row) == head_dim_, "sign sketch: a row of ", row.size(), " numbers, not ",
          head_dim_);
    std::array<float, CodedRow::kMost> r{};
    float largest = 0;
    for (std::size_t i = 0; i < row.size(); ++i) {
        r[i] = row[i] - decode_number(format, coded.codes[i], coded.d[0], 0);
        largest = std::max(largest, std::fabs(r[i]));
    }
    coded.m[0] = 0;
    if (largest == 0.0f) return;
    for (std::size_t i = 0; i < row.size(); ++i) r[i] /= largest;
    coded.m[0] = largest * std::sqrt(dot(r.data(), r.data(), head_dim_));
    // A sum of D numbers of S is at most 6 D, and 6 sqrt(pi / 2) less than 8.
    check(is_finite(coded.d[0] * format->levels[(1 << format->level_bits()) - 1] +
                    8 * coded.m[0]),
          format->name, " cache: ", coded.m[0], " left by the levels does not fit");
    for (Index j = 0; j < head_dim_; ++j) {
        const float product = dot(numbers_.data() + j * head_dim_, r.data(), head_dim_);
        if (product < 0)
            at(coded.codes, j) |= static_cast<std::uint8_t>(1 << (format->bits - 1));
    }
}

// ANCHOR_END: sketch_encode

// ANCHOR: sketch_add
void SignSketch::add(
    Format format, const std::uint8_t* codes, float e, float* row, Index stride) const {
    if (e == 0.0f) return;
    std::array<float, CodedRow::kMost> sums{};  // S^T b
    for (Index j = 0; j < head_dim_; ++j) {
        const float sign = sign_of(format, codes[j]);
        const float* const s = numbers_.data() + j * head_dim_;
        for (Index i = 0; i < head_dim_; ++i) at(sums, i) += sign * s[i];
    }
    for (Index i = 0; i < head_dim_; ++i) row[i * stride] += times(e) * at(sums, i);
}

// ANCHOR_END: sketch_add

float SignSketch::part(Format format, const std::uint8_t* codes, float e, Index i) const {
    if (e == 0.0f) return 0;
    float sum = 0;
    for (Index j = 0; j < head_dim_; ++j)
        sum += sign_of(format, codes[j]) * at(numbers_, j * head_dim_ + i);
    return times(e) * sum;
}

}  // namespace kvlab
