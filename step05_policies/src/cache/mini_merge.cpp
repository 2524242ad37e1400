// How MiniCache merges the tokens of a step: which are retained, and one direction of two.
#include <algorithm>
#include <cmath>

#include <kvlab/attention/attention_kernels.hpp>
#include <kvlab/policies/mini_cache.hpp>
#include <kvlab/tensor/rope.hpp>

namespace kvlab {

namespace {

double length_of(std::span<const float> x) {
    double sum = 0;
    for (const float number : x)
        sum += static_cast<double>(number) * static_cast<double>(number);
    return std::sqrt(sum);
}

// The cosine of the angle between two vectors; -1 if one of them is 0 and has no direction that
// could be shared.
double cosine(std::span<const float> a, std::span<const float> b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
        sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    const double lengths = length_of(a) * length_of(b);
    return lengths > 0 ? sum / lengths : -1.0;
}

// The angle in [0, pi] with this cosine: sqrt(1 - x) times a polynomial (Abramowitz and Stegun,
// 4.4.46, to 2e-8), and one step of Newton's. Written out, since libm's is not defined
// to the bit.
double angle_of(double c) {
    const double x = std::min(std::fabs(c), 1.0);
    double polynomial = -0.0012624911;
    for (const double coefficient : {0.0066700901, -0.0170881256, 0.0308918810, -0.0501743046,
                                     0.0889789874, -0.2145988016, 1.5707963050})
        polynomial = polynomial * x + coefficient;
    double angle = std::sqrt(1 - x) * polynomial;
    const SinCos at = sin_cos(angle);
    if (at.sin > 0x1p-20) angle += (at.cos - x) / at.sin;
    return c < 0 ? 0x1.921fb54442d18p+1 - angle : angle;
}

}  // namespace

// ANCHOR: merged_direction
void merged_direction(std::span<const float> lower,
                      std::span<const float> upper,
                      double t,
                      std::span<float> direction) {
    const double a = length_of(lower), b = length_of(upper);
    // SOLUTION-BEGIN 5.7
    const double angle = angle_of(cosine(lower, upper)), sine = sin_cos(angle).sin;
    constexpr double kNearlyParallel = 0x1p-10;
    double of_lower = 1 - t, of_upper = t;
    if (sine > kNearlyParallel) {
        of_lower = sin_cos((1 - t) * angle).sin / sine;
        of_upper = sin_cos(t * angle).sin / sine;
    }
    double sum = 0;
    for (std::size_t i = 0; i < direction.size(); ++i) {
        const double x = (a > 0 ? of_lower * static_cast<double>(lower[i]) / a : 0) +
                         (b > 0 ? of_upper * static_cast<double>(upper[i]) / b : 0);
        direction[i] = static_cast<float>(x);
        sum += x * x;
    }
    // Exactly of length 1 only by mathematics; on the straight way not even that.
    const double scale = sum > 0 ? 1 / std::sqrt(sum) : 0;
    for (float& x : direction) x = static_cast<float>(static_cast<double>(x) * scale);
    // SOLUTION-END 5.7
}

// ANCHOR_END: merged_direction

namespace {

// 0 if the lower vector is 0 or nearly: nothing times it has the upper one's length.
float ratio_of(double upper, double lower) {
    constexpr double kLargest = 0x1p100;
    return upper < lower * kLargest ? static_cast<float>(upper / lower) : 0.0f;
}

// One head's key or value of a slot as D numbers in a row.
void copy_row(const KvTiles& tiles, Index kv_head, Index slot, bool key, std::span<float> row) {
    for (Index i = 0; i < std::ssize(row); ++i)
        at(row, i) = key ? tiles.key(kv_head, slot, i) : tiles.value(kv_head, slot, i);
}

}  // namespace

// The tokens of the open step that each KV head retains, in order: those with the largest angle
// between their two keys, of equal ones the earlier.
void MiniCache::choose_retained(const Pair& pair, Index kv_head, Index count) {
    const auto D = usize(shape().head_dim);
    float lower[256], upper[256];
    order_.clear();
    cosines_.clear();
    for (Index t = 0; t < pending(); ++t) {
        copy_row(pair.lower, kv_head, length() + t, true, {lower, D});
        copy_row(pair.open, kv_head, t, true, {upper, D});
        cosines_.push_back(cosine({lower, D}, {upper, D}));
        order_.push_back(t);
    }
    std::sort(order_.begin(), order_.end(), [&](Index a, Index b) {
        const double x = at(cosines_, a), y = at(cosines_, b);
        return x != y ? x < y : a < b;
    });
    order_.resize(usize(count));
    std::sort(order_.begin(), order_.end());
}

// ANCHOR: merge
void MiniCache::merge(Pair& pair) {
    const Index more =
        std::clamp<Index>(retained_of(length() + pending()) - pair.count, 0, pending());
    for (Index h = 0; h < shape().kv_heads; ++h) {
        if (more > 0) choose_retained(pair, h, more);
        Index n = 0;  // of those
        for (Index t = 0; t < pending(); ++t)
            if (n < more && at(order_, n) == t)
                retain_token(pair, h, t, pair.count + n++);
            else
                merge_token(pair, h, t);
    }
    pair.count += more;
    count_before_tiles(pair);
}

// Its lower key and value are where attention looks for them.
void MiniCache::retain_token(Pair& pair, Index kv_head, Index t, Index place) const {
    const auto D = usize(shape().head_dim);
    const auto row = usize(kv_head * pair.most + place);
    pair.positions[row] = static_cast<std::int32_t>(length() + t);
    const std::span<float> own = std::span(pair.retained).subspan(row * 2 * D, 2 * D);
    copy_row(pair.open, kv_head, t, true, own.first(D));
    copy_row(pair.open, kv_head, t, false, own.last(D));
}

void MiniCache::merge_token(Pair& pair, Index kv_head, Index t) const {
    const auto D = usize(shape().head_dim);
    const Index slot = length() + t;
    float lower[256], upper[256], key[256], value[256];
    for (const bool is_key : {true, false}) {
        const std::span<float> merged(is_key ? key : value, D);
        copy_row(pair.lower, kv_head, slot, is_key, {lower, D});
        copy_row(pair.open, kv_head, t, is_key, {upper, D});
        const double of_lower = length_of({lower, D}), of_upper = length_of({upper, D});
        merged_direction({lower, D}, {upper, D}, options_.direction, merged);
        for (float& x : merged) x = static_cast<float>(static_cast<double>(x) * of_lower);
        (is_key ? pair.key_factors
                : pair.value_factors)[usize(kv_head * pair.lower.slots() + slot)] =
            ratio_of(of_upper, of_lower);
    }
    pair.lower.write_slot(kv_head, slot, {key, D}, {value, D});
}

// ANCHOR_END: merge

// Of the tiles that the open step fills, and the one behind them.
void MiniCache::count_before_tiles(Pair& pair) const {
    const Index tiles = pair.lower.slots() / kTile;
    for (Index h = 0; h < shape().kv_heads; ++h) {
        const auto first = pair.positions.begin() + h * pair.most;
        for (Index tile = length() / kTile; tile <= (length() + pending() - 1) / kTile + 1;
             ++tile)
            at(pair.before, h * (tiles + 1) + tile) = static_cast<std::int32_t>(
                std::lower_bound(first, first + pair.count, tile * kTile) - first);
    }
}

}  // namespace kvlab
