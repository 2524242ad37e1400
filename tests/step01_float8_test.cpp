// Step 1: 8-bit floats. Mistakes in mind: infinity where the largest number belongs, ties away
// from even, subnormals cut off, the range of another E4M3 (240), rounding twice by way of f16.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include <kvlab/tensor/float8.hpp>
#include <kvlab/tensor/random.hpp>

using namespace kvlab;

namespace {

struct Float8 {
    float (*decode)(std::uint8_t);
    std::uint8_t (*encode)(float);
    int finite;  // codes from 0 to the largest number
    float largest, smallest;
};

constexpr Float8 kFloat8s[] = {{e4m3_to_f32, f32_to_e4m3, 127, 448.0f, 0x1p-9f},
                               {e5m2_to_f32, f32_to_e5m2, 124, 57344.0f, 0x1p-16f}};

bool equal_bits(float a, float b) {
    return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b);
}

}  // namespace

TEST_SUITE_BEGIN("step01");

TEST_CASE("float8: every finite code comes back and codes rise with their values") {
    for (const Float8& f : kFloat8s) {
        for (int code = 0; code < f.finite; ++code) {
            const auto c = static_cast<std::uint8_t>(code);
            CHECK(f.encode(f.decode(c)) == c);
            const auto minus = static_cast<std::uint8_t>(c | 0x80u);
            CHECK(f.encode(f.decode(minus)) == minus);
            CHECK(equal_bits(f.decode(minus), -f.decode(c)));
            if (code > 0) CHECK(f.decode(c) > f.decode(static_cast<std::uint8_t>(code - 1)));
        }
        CHECK(f.decode(static_cast<std::uint8_t>(f.finite - 1)) == f.largest);
        CHECK(f.decode(1) == f.smallest);
        CHECK(equal_bits(f.decode(0), 0.0f));
    }
}

TEST_CASE("float8: the nearest number and of two equally near ones the even code") {
    for (const Float8& f : kFloat8s)
        for (int code = 0; code + 1 < f.finite; ++code) {
            const float low = f.decode(static_cast<std::uint8_t>(code)),
                        high = f.decode(static_cast<std::uint8_t>(code + 1));
            const float middle = low + (high - low) / 2;  // exact: far fewer bits than a float
            CAPTURE(middle);
            CHECK(f.encode(middle) == (code % 2 == 0 ? code : code + 1));
            CHECK(f.encode(std::nextafter(middle, 0.0f)) == code);
            CHECK(f.encode(std::nextafter(middle, 1e9f)) == code + 1);
        }
}

TEST_CASE("float8: what is too large becomes the largest number and NaN stays NaN") {
    for (const Float8& f : kFloat8s) {
        const float infinity = std::numeric_limits<float>::infinity();
        for (const float x : {std::nextafter(f.largest, 1e9f), 1e9f, infinity}) {
            CHECK(f.decode(f.encode(x)) == f.largest);
            CHECK(f.decode(f.encode(-x)) == -f.largest);
        }
        CHECK(std::isnan(f.decode(f.encode(std::nanf("")))));
        CHECK(f.encode(std::numeric_limits<float>::denorm_min()) == 0);
    }
}

TEST_SUITE_END();
