#include <kvlab/tensor/checksum.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace kvlab {

std::string hex64(std::uint64_t value) {
    std::string text(16, '0');
    for (std::size_t i = 16; i-- > 0; value >>= 4) text[i] = "0123456789abcdef"[value & 15];
    return text;
}

std::string Checksum::hex() const {
    return hex64(hash_);
}

std::uint64_t checksum(std::span<const float> values) {
    Checksum sum;
    sum.add(values);
    return sum.value();
}

namespace {

// Floats in the order of their values as consecutive integers; -0 comes right before +0.
std::int64_t ordered(float value) {
    // SOLUTION-BEGIN 1.1
    const auto bits = std::bit_cast<std::int32_t>(value);
    return bits >= 0 ? std::int64_t{bits} : -std::int64_t{bits & 0x7fffffff} - 1;
    // SOLUTION-END 1.1
}

bool is_nan(float value) {
    return (std::bit_cast<std::uint32_t>(value) & 0x7fffffffu) > 0x7f800000u;
}

}  // namespace

std::uint64_t ulp_distance(float a, float b) {
    if (std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b)) return 0;
    if (is_nan(a) || is_nan(b)) return std::numeric_limits<std::uint64_t>::max();
    const std::int64_t distance = ordered(a) - ordered(b);
    return static_cast<std::uint64_t>(distance < 0 ? -distance : distance);
}

void Difference::merge(const Difference& later) {
    // SOLUTION-BEGIN 1.2
    if (first < 0 && later.first >= 0) first = count + later.first;
    count += later.count;
    differ += later.differ;
    max_ulp = std::max(max_ulp, later.max_ulp);
    max_abs = std::max(max_abs, later.max_abs);
    // SOLUTION-END 1.2
}

Difference compare_bits(std::span<const float> a, std::span<const float> b) {
    check(a.size() == b.size(), "compare_bits: ", a.size(), " floats against ", b.size());
    Difference result;
    result.count = std::ssize(a);
    for (std::size_t i = 0; i < a.size(); ++i) {
        const std::uint64_t ulp = ulp_distance(a[i], b[i]);
        if (ulp == 0) continue;
        if (result.first < 0) result.first = static_cast<Index>(i);
        ++result.differ;
        result.max_ulp = std::max(result.max_ulp, ulp);
        const double gap =
            is_nan(a[i]) || is_nan(b[i])
                ? std::numeric_limits<double>::infinity()
                : std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
        result.max_abs = std::max(result.max_abs, gap);
    }
    return result;
}

}  // namespace kvlab
