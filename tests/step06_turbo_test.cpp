// Step 6: TurboQuant: a random turn, Lloyd's levels, and a sign sketch of what they leave.
// Mistakes in mind: a sketch of the row instead of what is left, a factor that fits one D, a
// length that is not stored, signs that do not turn back, a first stage with all bits.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include <kvlab/quant/coded_rows.hpp>
#include <kvlab/tensor/checksum.hpp>

#include "quant_rig.hpp"
#include "quant_rows.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

constexpr double kHalfPi = 1.57079632679489661923;

Row normal_row(Index D, Rng& rng) {
    Row row(usize(D));
    for (float& x : row) x = rng.normal();
    return row;
}

double product(const Row& a, const Row& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
        sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    return sum;
}

// What the first stage leaves of a row.
Row left_by_levels(Format format, const Row& row, const CodedRow& coded) {
    Row left = row;
    for (std::size_t i = 0; i < row.size(); ++i)
        left[i] -= decode_number(format, coded.codes[i], coded.d[0], 0);
    return left;
}

}  // namespace

TEST_SUITE_BEGIN("step06");

TEST_CASE(
    "turbo: over many sketches the product is right in the mean and as noisy as it should") {
    Rng rng(91);
    constexpr int kSeeds = 3000;
    for (const Format format : {&formats::turbo4, &formats::turbo3, &formats::turbo2})
        for (const Index D : {16, 64}) {
            CAPTURE(std::string(format->name));
            CAPTURE(D);
            const Row q = normal_row(D, rng), x = normal_row(D, rng);
            CodedRow coded;
            encode_row(format, x, coded);
            const Row left = left_by_levels(format, x, coded);
            double sum = 0, squares = 0;
            for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
                const SignSketch sketch(D, seed);
                Row kept = x;
                round_trip(format, kept, &sketch);
                const double off = product(q, kept) - product(q, x);
                sum += off;
                squares += off * off;
            }
            // The variance in closed form: each of D rows of S gives a product whose square has
            // the mean pi / 2 |q|^2 and whose own mean is <q, r / e>, which is taken off.
            const double along = product(q, left), e2 = product(left, left);
            const double variance =
                (kHalfPi * product(q, q) * e2 - along * along) / static_cast<double>(D);
            const double mean = sum / kSeeds, found = squares / kSeeds - mean * mean;
            CHECK(variance <= kHalfPi / static_cast<double>(D) * product(q, q) * e2);
            CHECK(std::fabs(mean) < 4 * std::sqrt(variance / kSeeds));
            // Of so many squares of normal numbers the mean is off by sqrt(2 / 3000) = 2.6 %.
            CHECK(found == doctest::Approx(variance).epsilon(0.12));
        }
}

TEST_CASE("turbo: levels alone shrink a row by what the theory says and the sketch mends it") {
    Rng rng(92);
    for (const auto& [which, share] : {std::pair{&formats::turbo2, 0.6366},
                                       {&formats::turbo3, 0.8825},
                                       {&formats::turbo4, 0.9655}}) {
        const Format format = which;  // clang 14 captures no binding
        CAPTURE(std::string(format->name));
        double levels = 0, both = 0, all = 0;
        for (int r = 0; r < 1500; ++r) {
            const Row x = normal_row(64, rng);
            CodedRow coded;
            const SignSketch sketch(64, static_cast<std::uint64_t>(r));
            encode_row(format, x, coded, &sketch);
            Row first(64), kept = x;
            for (std::size_t i = 0; i < 64; ++i)
                first[i] = decode_number(format, coded.codes[i], coded.d[0], 0);
            round_trip(format, kept, &sketch);
            levels += product(x, first);
            both += product(x, kept);
            all += product(x, x);
        }
        CHECK(levels / all == doctest::Approx(share).epsilon(0.01));
        CHECK(both / all == doctest::Approx(1.0).epsilon(0.01));
    }
}

TEST_CASE("turbo: at equal bits the sketch makes products noisier than levels alone") {
    // Var: pi / 2 of what 3 bits leave, against what 4 bits leave: 5.7 times as much.
    Rng rng(93);
    double sketched = 0, levels = 0;
    for (std::uint64_t r = 0; r < 1500; ++r) {
        const Row q = normal_row(64, rng), x = normal_row(64, rng);
        const SignSketch sketch(64, r);
        Row one = x, other = x;
        round_trip(&formats::turbo4, one, &sketch);
        round_trip(&formats::turbo4_mse, other);
        sketched += std::pow(product(q, one) - product(q, x), 2);
        levels += std::pow(product(q, other) - product(q, x), 2);
    }
    CHECK(sketched / levels == doctest::Approx(kHalfPi * 0.03454 / 0.009497).epsilon(0.15));
}

TEST_CASE("turbo: the first stage is Lloyd's with a bit less and stays where nothing is left") {
    Rng rng(94);
    for (const auto& [turbo, fewer, mse, lloyd] :
         {std::tuple{&formats::turbo4, &formats::lloyd3, &formats::turbo4_mse,
                     &formats::lloyd4},
          {&formats::turbo3, &formats::lloyd2, &formats::turbo3_mse, &formats::lloyd3}}) {
        const Row x = normal_row(32, rng);
        CodedRow own, first, all, codes;
        encode_row(turbo, x, own);
        encode_row(fewer, x, first);
        encode_row(mse, x, all);
        encode_row(lloyd, x, codes);
        CHECK(own.d[0] == first.d[0]);
        CHECK(own.m[0] > 0.0f);
        Index negative = 0;
        for (std::size_t i = 0; i < 32; ++i) {
            CHECK((own.codes[i] & ((1 << fewer->bits) - 1)) == first.codes[i]);
            CHECK(own.codes[i] < 1 << turbo->bits);
            CHECK(all.codes[i] == codes.codes[i]);
            negative += own.codes[i] >> fewer->bits;
        }
        CHECK(negative > 0);
        CHECK(negative < 32);
        // Nothing left: no bit of the first stage changes, whatever the signs say.
        Row levels(32);
        for (std::size_t i = 0; i < 32; ++i)
            levels[i] = decode_number(turbo, own.codes[i], own.d[0], 0);
        Row sum = levels;
        const SignSketch sketch(32, 1);
        sketch.add(turbo, own.codes.data(), 0.0f, sum.data(), 1);
        CHECK(compare_bits(sum, levels).differ == 0);
        CHECK(sketch.part(turbo, own.codes.data(), 0.0f, 3) == 0.0f);
        Row zeros(32, 0.0f);
        round_trip(turbo, zeros);
        CHECK(std::count(zeros.begin(), zeros.end(), 0.0f) == 32);
    }
}

TEST_CASE("turbo: its bytes are its bits and two floats of a key and one of a value") {
    const KvShape shape{3, 4, 2, 64};
    for (const auto& [format, bits] : {std::pair{&formats::turbo4, Index{4}},
                                       {&formats::turbo3, 3},
                                       {&formats::turbo2, 2}}) {
        const Index codes = 64 * bits / 8;
        CHECK(format->row_bytes(64) == codes + 8);
        CHECK(format->of(false)->row_bytes(64) == codes + 4);
        CHECK(format->token_bytes(shape) == 3 * 2 * (2 * codes + 12));
        const CodedRows rows({format, format}, 64, 2, 64);
        CHECK(rows.held_bytes(10) == 10 * 2 * (2 * codes + 12));
        CHECK(rows.allocated_bytes() == 64 * 2 * (2 * codes + 12));
    }
}

TEST_CASE("turbo: a random turn turns back and spreads rows that Hadamard's heaps up") {
    // H turns a row of ones into one number, and so does any row of H's own.
    const Row ones(64, 1.0f);
    const auto largest = [](const Row& row) {
        float most = 0;
        for (const float x : row) most = std::max(most, std::fabs(x));
        return most;
    };
    Row heap = ones;
    RowTurn::by_hadamard(64).apply(heap);
    CHECK(largest(heap) == 8.0f);
    Row before;
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        const RowTurn turn = RowTurn::at_random(64, seed);
        Row row = ones;
        turn.apply(row);
        CHECK(largest(row) < 4.5f);  // 64 normal numbers
        CHECK(product(row, row) == doctest::Approx(64.0).epsilon(1e-5));
        CHECK(row != before);
        before = row;
        turn.apply(row);
        for (const float x : row) CHECK(x == doctest::Approx(1.0).epsilon(1e-5));
    }
    Row same = ones;
    RowTurn().apply(same);
    CHECK(same == ones);
    CHECK_THROWS_WITH_AS(RowTurn::at_random(48, 1), doctest::Contains("48"), Error);
}

TEST_CASE("turbo: cached equals uncached for every seed and a seed changes what is kept") {
    QuantRig rig;
    const auto text = random_tokens(70, 96, 95);
    Tensor first;
    for (const std::uint64_t seed : {1u, 2u, 77u}) {
        QuantOptions options{&formats::turbo3, &formats::turbo4};
        options.seed = seed;
        const Tensor expected = rig.uncached(options, text);
        CHECK(differing(rig.cached(*rig.cache(options, 70), text, 7), expected) == 0);
        if (seed == 1)
            first = expected.clone();
        else
            CHECK(differing(expected, first) > 0);
    }
    QuantOptions before{&formats::turbo4, &formats::f32};
    before.before_rope = true;
    CHECK_THROWS_WITH_AS(rig.cache(before, 8), doctest::Contains("cannot be turned"), Error);
}

TEST_SUITE_END();
