#include <kvlab/kvcache/spread.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

#include <kvlab/tensor/measure.hpp>

namespace kvlab {

Spread spread_of(std::span<const double> samples) {
    check(!samples.empty(), "spread: no samples");
    const auto n = static_cast<double>(samples.size());
    Spread spread{std::ssize(samples), 0, 0, samples[0], samples[0]};
    for (const double x : samples) {
        spread.mean += x / n;
        spread.least = std::min(spread.least, x);
        spread.most = std::max(spread.most, x);
    }
    double squares = 0;
    for (const double x : samples) squares += (x - spread.mean) * (x - spread.mean);
    if (samples.size() > 1 && spread.least != spread.most)
        spread.deviation = std::sqrt(squares / (n - 1));
    else
        spread.mean = samples[0];  // exactly, where the sum may have rounded
    return spread;
}

Paired paired(std::span<const double> a, std::span<const double> b) {
    check(a.size() == b.size(), "spread: pairs of ", a.size(), " and ", b.size(), " samples");
    std::vector<double> differences;
    Paired found;
    for (std::size_t i = 0; i < a.size(); ++i) {
        differences.push_back(a[i] - b[i]);
        found.lower += a[i] < b[i] ? 1 : 0;
    }
    found.difference = spread_of(differences);
    return found;
}

namespace {

std::string with_decimals(double value, int decimals) {
    char text[64];
    std::snprintf(text, sizeof text, "%.*f", decimals, value);
    return text;
}

// How many decimals show one digit of this size, or two if the first is a 1.
int decimals_of(double size) {
    const int exponent = static_cast<int>(std::floor(std::log10(size)));
    const double first = size / std::pow(10.0, exponent);  // 1 to 10
    // 0.096 has to be shown as 0.10, whose first digit is a 1.
    const int digits = first < 1.95 || first >= 9.5 ? 2 : 1;
    return digits - 1 - (first >= 9.5 ? exponent + 1 : exponent);
}

constexpr int kMostDecimals = 6;  // smaller ones are written with a power of ten

}  // namespace

std::string format_spread(const Spread& spread) {
    if (spread.deviation == 0) return format_number(spread.mean);
    const int decimals = decimals_of(spread.deviation);
    if (decimals <= kMostDecimals)
        return with_decimals(spread.mean, std::max(0, decimals)) + " ± " +
               with_decimals(spread.deviation, std::max(0, decimals));
    const double size = std::max(std::fabs(spread.mean), spread.deviation);
    const int exponent = static_cast<int>(std::floor(std::log10(size)));
    const double unit = std::pow(10.0, exponent);
    const int left = std::max(0, decimals + exponent);
    return concat("(", with_decimals(spread.mean / unit, left), " ± ",
                  with_decimals(spread.deviation / unit, left), ")e", exponent);
}

std::string right_aligned(const std::string& text, Index width) {
    const Index characters = std::count_if(text.begin(), text.end(), [](char c) {
        return (static_cast<unsigned char>(c) & 0xc0u) != 0x80u;  // not the rest of one
    });
    return std::string(usize(std::max<Index>(0, width - characters)), ' ') + text;
}

}  // namespace kvlab
