// Step 6: the formats of cached rows, number by number. Mistakes in mind: nibbles side by side
// instead of half a block apart, a scale in f16 that underflows and divides by 0, levels that
// are no fixed point, a rotation that changes lengths.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include <kvlab/quant/hadamard.hpp>
#include <kvlab/quant/lloyd_max.hpp>
#include <kvlab/tensor/checksum.hpp>

#include "quant_rows.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

float largest(const Row& row) {
    float most = 0;
    for (const float x : row) most = std::max(most, std::fabs(x));
    return most;
}

// What rounding to the nearest code, and the scale to f16, may cost a number. The scale is off
// by 2^-11 of itself, or, where it is below 2^-14, by 2^-25, and that times the code.
float bound(Format code, const Row& row, float x) {
    const float a = largest(row), h = 0x1p-11f, tiny = 0x1p-25f;
    const float low = *std::min_element(row.begin(), row.end());
    const float range = *std::max_element(row.begin(), row.end()) - low;
    const auto uneven = [&](float codes) {
        return range * (0.5f / codes + h) + std::fabs(low) * h + codes * tiny;
    };
    if (code == &formats::f32) return 0;
    if (code == &formats::f16) return std::fabs(x) * h + 0x1p-25f;
    if (code == &formats::bf16) return std::fabs(x) * 0x1p-8f;
    if (code == &formats::e4m3) return std::fabs(x) * 0x1p-4f + 0x1p-10f;
    if (code == &formats::e5m2) return std::fabs(x) * 0x1p-3f + 0x1p-17f;
    if (code == &formats::int8) return a / 127 * 0.50001f;
    if (code == &formats::q8_0) return a * (0.5f / 127 + h) + 127 * tiny;
    if (code == &formats::q4_0) return a * (1.0f / 8 + h) + 8 * tiny;
    if (code == &formats::q4_1 || code == &formats::kivi4) return uneven(15);
    if (code == &formats::kivi2) return uneven(3);
    if (!code->sketch) return a;  // a level may lie far from an outlier
    // A sketch spreads what is left over all numbers of the row.
    float square = 0;
    for (const float y : row) square += y * y;
    return a + std::sqrt(square);
}

}  // namespace

TEST_SUITE_BEGIN("step06");

TEST_CASE("codes: what is kept stays what it is when it is kept again") {
    const std::vector<Row> rows = many_rows(64, 2000);
    for (const Format code : coded_formats()) {
        CAPTURE(std::string(code->name));
        const KvFormat& traits = *code;
        // Of Lloyd's levels the row's size changes with every rounding.
        if (traits.scales == Scales::of_row && traits.levels != nullptr) continue;
        // A range of 15 or 255 steps may move by an ulp; of these formats the codes stay.
        const bool exact = code != &formats::kivi4;
        Index moved = 0, codes_moved = 0;
        for (const Row& row : rows) {
            const Row once = rounded(code, row), twice = rounded(code, once);
            moved += compare_bits(once, twice).differ;
            if (traits.scales == Scales::none) continue;
            CodedRow a, b;
            encode_row(code, row, a);
            encode_row(code, once, b);
            for (std::size_t i = 0; i < row.size(); ++i)
                codes_moved += a.codes[i] != b.codes[i];
        }
        CHECK(codes_moved == 0);
        if (exact) CHECK(moved == 0);
    }
}

TEST_CASE("codes: no number is off by more than its format's bound") {
    for (const Format code : coded_formats()) {
        CAPTURE(std::string(code->name));
        double worst = 0;
        for (const Row& row : many_rows(32, 1000)) {
            const Row kept = rounded(code, row);
            for (std::size_t i = 0; i < row.size(); ++i) {
                const float off = std::fabs(kept[i] - row[i]);
                CHECK_MESSAGE(off <= bound(code, row, row[i]), row[i], " became ", kept[i]);
                worst = std::max(worst, static_cast<double>(off));
            }
        }
        CHECK((worst > 0) == (code != &formats::f32));
    }
}

TEST_CASE("codes: rows of zeros and one number and the smallest and largest stay finite") {
    const float tiny = std::numeric_limits<float>::denorm_min(),
                huge = std::numeric_limits<float>::max();
    for (const Format code : coded_formats())
        for (const float size : {0.0f, tiny, 1e-40f, 1e-30f, 1e-7f, 1.0f, 6e4f, 1e30f, huge})
            for (const bool alternating : {false, true}) {
                CAPTURE(std::string(code->name));
                CAPTURE(size);
                Row row(64, size);
                if (alternating)
                    for (std::size_t i = 0; i < 64; i += 3) row[i] = -size;
                try {
                    const Row kept = rounded(code, row);
                    for (const float x : kept) {
                        CHECK(std::isfinite(x));
                        // A row of zeros comes back as such, and what is too small as 0 or so.
                        const float most = code->sketch ? 4 : 2;  // a sketch adds noise
                        CHECK(std::fabs(x) <= size * most + (size == 0.0f ? 0.0f : 1e-6f));
                    }
                } catch (const Error& error) {
                    // Refused by name: f16, bf16 and scales in f16 end somewhere.
                    CHECK(size >= 6e4f);
                    CHECK(std::string(error.what()).find("too large") +
                              std::string(error.what()).find("does not fit") !=
                          2 * std::string::npos);
                }
            }
    for (const Format code : coded_formats())
        for (const float bad : {std::numeric_limits<float>::infinity(), std::nanf("")}) {
            Row row(32, 1.0f);
            row[7] = bad;
            CHECK_THROWS_AS(round_trip(code, row), Error);
        }
}

TEST_CASE("codes: a group whose numbers are equal comes back as it is") {
    for (const Index bits : {2, 4})
        for (const float x : {0.0f, 1.0f, -3.5f, 1024.0f}) {
            Row same(32, x);
            std::uint8_t codes[32];
            float d = 1, m = 1;
            encode_group(bits, same.data(), 1, codes, d, m);
            CHECK(d == 0.0f);
            CHECK(m == x);
            for (const std::uint8_t code : codes) CHECK(code == 0);
        }
}

TEST_CASE("lloyd: the table is a fixed point of the iteration and rises and is odd") {
    for (const auto& [bits, table] : {std::pair<Index, const float*>{1, kLloyd1},
                                      {2, kLloyd2},
                                      {3, kLloyd3},
                                      {4, kLloyd4}}) {
        const Index count = Index{1} << bits;
        const std::vector<double> found = lloyd_max_levels(bits);
        std::vector<double> levels(table, table + count);
        const std::vector<double> next = lloyd_max_step(levels);
        for (Index i = 0; i < count; ++i) {
            const auto at = usize(i);
            CHECK(static_cast<float>(found[at]) == table[i]);
            // A step from the rounded table moves nothing by more than the rounding did.
            CHECK(std::fabs(next[at] - levels[at]) < 3e-7);
            CHECK(table[i] == -table[count - 1 - i]);
            if (i > 0) CHECK(table[i] > table[i - 1]);
        }
        for (Index i = count; i < 16; ++i) CHECK(table[i] == table[i - count]);
    }
    CHECK(kLloyd2[3] == doctest::Approx(1.510).epsilon(1e-3));  // Max 1960, table I
    CHECK(kLloyd4[15] == doctest::Approx(2.733).epsilon(1e-3));
    CHECK_THROWS_AS(lloyd_max_levels(5), Error);
}

TEST_CASE("lloyd: normal rows lose the share of their square that the theory says") {
    Rng rng(63);
    for (const auto& [code, share] :
         {std::pair{&formats::lloyd2, 0.1175}, std::pair{&formats::lloyd3, 0.03454},
          std::pair{&formats::lloyd4, 0.009497}}) {
        double lost = 0, all = 0;
        for (int r = 0; r < 2000; ++r) {
            Row row(64);
            for (float& x : row) x = rng.normal();
            const Row kept = rounded(code, row);
            for (std::size_t i = 0; i < row.size(); ++i) {
                lost += static_cast<double>((kept[i] - row[i]) * (kept[i] - row[i]));
                all += static_cast<double>(row[i] * row[i]);
            }
        }
        // A row's own size is known, which helps a little; a uniform code of 2 bits loses more.
        CHECK(lost / all == doctest::Approx(share).epsilon(0.05));
    }
}

TEST_CASE("hadamard: turned twice is as before and lengths and products stay") {
    Rng rng(64);
    for (const std::size_t n : {1, 2, 16, 32, 64, 256}) {
        Row x(n), y(n);
        for (float& a : x) a = rng.normal();
        for (float& a : y) a = rng.normal();
        Row hx = x, hy = y;
        hadamard(hx);
        hadamard(hy);
        double before = 0, after = 0;
        for (std::size_t i = 0; i < n; ++i) {
            before += static_cast<double>(x[i]) * static_cast<double>(y[i]);
            after += static_cast<double>(hx[i]) * static_cast<double>(hy[i]);
        }
        CHECK(std::fabs(before - after) < 1e-5 * static_cast<double>(n));
        hadamard(hx);
        for (std::size_t i = 0; i < n; ++i) CHECK(std::fabs(hx[i] - x[i]) < 1e-6f * 8);
        // One outlier becomes n numbers of one size.
        Row spike(n, 0.0f);
        spike[n / 2] = 8.0f;
        hadamard(spike);
        for (const float a : spike) CHECK(std::fabs(a) == std::fabs(spike[0]));
    }
    CHECK_THROWS_WITH_AS(check_hadamard(48), doctest::Contains("48"), Error);
}

TEST_SUITE_END();
