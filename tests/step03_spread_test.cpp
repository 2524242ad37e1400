// Step 3: how far figures lie apart. Mistakes in mind: n for n - 1, a deviation of the sum,
// pairs compared by their means, equal samples that show a rounding, digits that say more than
// the deviation, columns that "±" moves.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include <kvlab/attention/score.hpp>
#include <kvlab/kvcache/spread.hpp>

using namespace kvlab;

namespace {

std::string shown(double mean, double deviation) {
    return format_spread({2, mean, deviation, 0, 0});
}

}  // namespace

TEST_SUITE_BEGIN("step03");

TEST_CASE("spread: mean and deviation of samples that can be added by hand") {
    // 2 4 4 4 5 5 7 9: the squares of the distances from 5 add up to 32, by seven.
    const std::vector<double> samples = {2, 4, 4, 4, 5, 5, 7, 9};
    const Spread spread = spread_of(samples);
    CHECK(spread.count == 8);
    CHECK(spread.mean == 5.0);
    CHECK(spread.deviation == doctest::Approx(2.138089935299395).epsilon(1e-15));
    CHECK(spread.least == 2.0);
    CHECK(spread.most == 9.0);
}

TEST_CASE("spread: one sample and equal ones have no deviation, and their own mean") {
    const std::vector<double> one = {0.1}, equal(10, 0.1);
    for (const auto& samples : {one, equal}) {
        CHECK(spread_of(samples).mean == 0.1);  // ten tenths, added up, are not
        CHECK(spread_of(samples).deviation == 0.0);
    }
    CHECK_THROWS_WITH_AS(spread_of({}), "spread: no samples", Error);
}

TEST_CASE("spread: pairs see an order that the deviations of two means hide") {
    const std::vector<double> a = {1, 5, 9}, b = {1.5, 6, 9.75};
    const Paired pairs = paired(a, b);
    CHECK(pairs.lower == 3);
    CHECK(pairs.difference.mean == -0.75);
    CHECK(pairs.difference.deviation == 0.25);
    CHECK(pairs.difference.deviation < spread_of(a).deviation / 10);
    CHECK(paired(b, a).lower == 0);
    CHECK(paired(a, a).lower == 0);  // equal is not below
    CHECK(paired(a, a).difference.most == 0.0);
    const std::vector<double> two = {1, 2};
    CHECK_THROWS_WITH_AS(paired(a, two), "spread: pairs of 3 and 2 samples", Error);
    CHECK_THROWS_WITH_AS(paired({}, {}), "spread: no samples", Error);
}

TEST_CASE("spread: a mean ends where its deviation ends") {
    CHECK(shown(0.03612, 0.0412) == "0.04 ± 0.04");
    CHECK(shown(0.03612, 0.0121) == "0.036 ± 0.012");
    CHECK(shown(0.03612, 0.0194) == "0.036 ± 0.019");
    CHECK(shown(0.03612, 0.0197) == "0.04 ± 0.02");
    CHECK(shown(0.5, 0.0951) == "0.50 ± 0.10");
    CHECK(shown(2.6713, 0.4) == "2.7 ± 0.4");
    CHECK(shown(12.34, 3.2) == "12 ± 3");
    CHECK(shown(1234.5, 56.0) == "1234 ± 56");  // no digit before the point is left out
    CHECK(shown(-0.25, 0.5) == "-0.2 ± 0.5");
    CHECK(shown(1.234e-5, 3.2e-6) == "0.000012 ± 0.000003");
    CHECK(shown(1.234e-7, 3.2e-8) == "(1.2 ± 0.3)e-7");
    CHECK(shown(3.2e-8, 1.234e-7) == "(0.3 ± 1.2)e-7");
    CHECK(shown(0.0359, 0) == "0.0359");
}

TEST_CASE("spread: columns count characters") {
    CHECK(right_aligned("1 ± 2", 7) == "  1 ± 2");
    CHECK(right_aligned("12345", 3) == "12345");
    CHECK(right_aligned("", 2) == "  ");
}

TEST_CASE("spread: windows of several texts stand one after the other") {
    const std::vector<Token> a = {10, 11, 12, 13, 14}, b = {20, 21, 22, 23, 24};
    TextWindows with(a, 1, 2), without(a, kNoToken, 2);
    with.append(TextWindows(b, 1, 2, 1));
    without.append(TextWindows(b, kNoToken, 2));
    CHECK(with.count() == 3);
    CHECK(with.input(2) == std::vector<Token>{1, 20});
    CHECK(with.targets(2)[1] == 21);
    // The token before the first window is the text's own, not the last of the other text.
    CHECK(without.count() == 4);
    CHECK(without.input(2) == std::vector<Token>{20, 21});
    CHECK(without.targets(1)[1] == 14);
    CHECK_THROWS_WITH_AS(with.append(TextWindows(b, 1, 3)),
                         "score: windows of 2 and of 3 tokens", Error);
}

TEST_SUITE_END();
