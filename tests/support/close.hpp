// close.hpp - comparing with other people's software, where a tolerance is due: shape first,
// then finiteness by the bits (isfinite can be optimised away), then the difference.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include <kvlab/tensor/error.hpp>

namespace kvlab::test {

inline bool finite_bits(float x) {
    return (std::bit_cast<std::uint32_t>(x) & 0x7f800000u) != 0x7f800000u;
}

// The largest |a - b|; infinity when the lengths differ or a value is not finite.
inline double worst_difference(std::span<const float> a, std::span<const float> b) {
    if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
    double worst = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        if (!finite_bits(a[i]) || !finite_bits(b[i]))
            return std::numeric_limits<double>::infinity();
        worst =
            std::max(worst, std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
    }
    return worst;
}

// A file of little-endian floats, on a little-endian machine.
inline std::vector<float> read_floats(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    check(in.good(), path, ": cannot be read");
    const std::string bytes((std::istreambuf_iterator<char>(in)), {});
    std::vector<float> values(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
    return values;
}

}  // namespace kvlab::test
