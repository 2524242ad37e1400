#include <kvlab/tensor/rope.hpp>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <mutex>
#include <vector>

namespace kvlab {

namespace {

// A number as the unevaluated sum of two doubles, about 106 bits (Dekker 1971). Only + - * /
// and fma in double are used, so every machine gets the same bits.
struct Pair {
    double high, low;
};

Pair exact_sum(double a, double b) {  // a + b without error (Knuth)
    const double s = a + b, part = s - a;
    return {s, (a - (s - part)) + (b - part)};
}

Pair exact_product(double a, double b) {
    const double p = a * b;
    return {p, std::fma(a, b, -p)};
}

Pair normalised(double high, double low) {
    const double s = high + low;
    return {s, low - (s - high)};
}

Pair operator+(Pair a, Pair b) {
    const Pair s = exact_sum(a.high, b.high);
    return normalised(s.high, s.low + (a.low + b.low));
}

Pair operator*(Pair a, Pair b) {
    const Pair p = exact_product(a.high, b.high);
    return normalised(p.high, p.low + (a.high * b.low + a.low * b.high));
}

Pair operator/(Pair a, Pair b) {
    const double q = a.high / b.high;
    const Pair rest = a + Pair{-q, 0.0} * b;
    return normalised(q, (rest.high + rest.low) / b.high);
}

constexpr Pair kLn2 = {0x1.62e42fefa39efp-1, 0x1.abc9e3b39803fp-56};

// ln(x) = k ln 2 + 2 atanh((m - 1) / (m + 1)) for x = m * 2^k, m in [0.7, 1.42).
Pair logarithm(double x) {
    int k = 0;
    double m = std::frexp(x, &k);
    if (m < 0.70710678) {
        m *= 2.0;
        --k;
    }
    const Pair z = Pair{m - 1.0, 0.0} / exact_sum(m, 1.0);
    const Pair square = z * z;
    Pair series{0.0, 0.0};
    for (int n = 45; n >= 1; n -= 2)
        series = series * square + Pair{1.0, 0.0} / Pair{double(n), 0.0};
    const Pair half = z * series;
    return Pair{double(k), 0.0} * kLn2 + Pair{2.0 * half.high, 2.0 * half.low};
}

// e^t = 2^k e^r with |r| <= ln(2) / 2, e^r by its Taylor series.
double exponential(Pair t) {
    const double k = std::nearbyint(t.high / kLn2.high);
    const Pair r = t + Pair{-k, 0.0} * kLn2;
    Pair series{1.0, 0.0};
    for (int n = 26; n >= 1; --n) series = series * r / Pair{double(n), 0.0} + Pair{1.0, 0.0};
    return std::ldexp(series.high, static_cast<int>(k));
}

}  // namespace

double power(double base, double exponent) {
    check(base > 0 && std::isfinite(base), "power: base must be positive and finite, found ",
          base);
    return exponential(Pair{exponent, 0.0} * logarithm(base));
}

namespace {

// x - k (pi/2), with pi/2 as the sum of three doubles (161 bits): near a multiple of pi/2 the
// leading bits cancel, and what is left must still be right.
Pair reduce(double x, double k) {
    const Pair first = exact_product(k, 0x1.921fb54442d18p+0);
    const Pair second = exact_product(k, 0x1.1a62633145c07p-54);
    const double third = k * -0x1.f1976b7ed8fbcp-110;
    const Pair a = exact_sum(x - first.high, -first.low);  // x - first.high is exact
    const Pair b = exact_sum(a.high, -second.high);
    return normalised(b.high, ((a.low + b.low) - second.low) - third);
}

}  // namespace

SinCos sin_cos(double x) {
    check(std::fabs(x) <= 0x1p+30, "sin_cos: |x| must be at most 2^30, found ", x);
    const double k = std::nearbyint(x * 0x1.45f306dc9c883p-1);
    const Pair reduced = reduce(x, k);  // |r| <= pi/4
    const double r = reduced.high, q = r * r, q_error = std::fma(r, r, -q);
    double s = 0.0, c = 0.0;  // Taylor: sin r = r + r s, cos r = 1 + c
    for (int n = 21; n >= 3; n -= 2) s = (1.0 + s) * (-q / (n * (n - 1)));
    for (int n = 22; n >= 4; n -= 2) c = (1.0 + c) * (-q / (n * (n - 1)));
    c = std::fma(c, -0.5 * q, -0.5 * q);
    // One rounding at the end: small terms are joined with each other first.
    const double sine = r + std::fma(r, s, reduced.low * (1.0 + c));
    const double cosine = 1.0 + (c - std::fma(0.5, q_error, reduced.low * r));
    switch (static_cast<long long>(k) & 3) {
        case 0:
            return {sine, cosine};
        case 1:
            return {cosine, -sine};
        case 2:
            return {-sine, -cosine};
        default:
            return {-cosine, sine};
    }
}

// A block is made by one thread under the mutex; the others see it whole or not at all.
struct RopeTable::Blocks {
    explicit Blocks(Index count) : made(usize(count)) {}

    std::vector<double> frequencies;  // base^(-2i / rope_dim)
    std::vector<std::atomic<const float*>> made;
    std::mutex mutex;
    std::vector<std::unique_ptr<float[]>> owned;
};

RopeTable::RopeTable(Index positions, Index rope_dim, double base)
    : positions_(positions), rope_dim_(rope_dim) {
    // No head is wider; and of a position beyond 2^30 sin_cos() knows no sine.
    constexpr Index kWidest = Index{1} << 20, kMost = Index{1} << 30;
    check(rope_dim > 0 && rope_dim % 2 == 0 && rope_dim <= kWidest,
          "rope: rope_dim: expected an even number up to ", kWidest, ", found ", rope_dim);
    check(positions >= 0 && positions <= kMost, "rope: positions: expected 0 to ", kMost,
          ", found ", positions);
    check(base > 0 && std::isfinite(base), "rope: base must be positive and finite, found ",
          base);
    blocks_ = std::make_shared<Blocks>((positions + kBlock - 1) / kBlock);
    for (Index i = 0; i < rope_dim / 2; ++i)
        blocks_->frequencies.push_back(
            power(base, -2.0 * static_cast<double>(i) / static_cast<double>(rope_dim)));
}

const float* RopeTable::block(Index position) const {
    KVLAB_DCHECK(position >= 0 && position < positions_);
    const Index number = position / kBlock;
    std::atomic<const float*>& place = at(blocks_->made, number);
    if (const float* made = place.load(std::memory_order_acquire)) [[likely]]
        return made;
    const std::lock_guard<std::mutex> lock(blocks_->mutex);
    if (const float* made = place.load(std::memory_order_relaxed)) return made;
    const Index first = number * kBlock, count = std::min(kBlock, positions_ - first);
    auto rows = std::make_unique<float[]>(usize(count * rope_dim_));
    for (Index p = 0; p < count; ++p)
        for (Index i = 0; i < rope_dim_ / 2; ++i) {
            const double frequency = at(blocks_->frequencies, i);
            const SinCos value = sin_cos(static_cast<double>(first + p) * frequency);
            at(rows, p * rope_dim_ + i) = static_cast<float>(value.cos);
            at(rows, p * rope_dim_ + rope_dim_ / 2 + i) = static_cast<float>(value.sin);
        }
    blocks_->owned.push_back(std::move(rows));
    place.store(blocks_->owned.back().get(), std::memory_order_release);
    return blocks_->owned.back().get();
}

Index RopeTable::bytes() const {
    if (!blocks_) return 0;
    Index rows = 0;
    for (std::size_t b = 0; b < blocks_->made.size(); ++b)
        if (blocks_->made[b].load(std::memory_order_acquire) != nullptr)
            rows += std::min(kBlock, positions_ - static_cast<Index>(b) * kBlock);
    return rows * rope_dim_ * Index{sizeof(float)};
}

// ANCHOR: rotate
void RopeTable::rotate(float* head, Index position) const {
    check(position >= 0 && position < positions(), "rope: position ", position,
          " is outside of the table of ", positions());
    // SOLUTION-BEGIN 1.5
    const float *c = cos(position), *s = sin(position);
    for (Index i = 0; i < rope_dim_ / 2; ++i) {
        const float x0 = head[2 * i], x1 = head[2 * i + 1];
        head[2 * i] = std::fma(x0, c[i], -(x1 * s[i]));
        head[2 * i + 1] = std::fma(x1, c[i], x0 * s[i]);
    }
    // SOLUTION-END 1.5
}

// ANCHOR_END: rotate

}  // namespace kvlab
