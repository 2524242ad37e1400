// Rule 2: the order of every sum. What breaks it: a total that starts at 0, a residual as the
// accumulator's start, blocks of another size, a compiler that contracts.
#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/numerics.hpp>
#include <kvlab/tensor/simd_level.hpp>
#include <kvlab/tensor/tensor_kernels.hpp>

#include "random_data.hpp"

using namespace kvlab;

namespace {

// Rule 2 written a second time, in another style: all blocks first, then their sum.
float dot_by_the_book(const std::vector<float>& a, const std::vector<float>& b) {
    std::vector<float> blocks;
    for (std::size_t i = 0; i < a.size(); ++i) {
        if (i % 64 == 0) blocks.push_back(0.0f);
        blocks.back() = std::fma(a[i], b[i], blocks.back());
    }
    if (blocks.empty()) return 0.0f;
    float total = blocks[0];
    for (std::size_t j = 1; j < blocks.size(); ++j) total += blocks[j];
    return total;
}

bool same_bits(float a, float b) {
    return ulp_distance(a, b) == 0;
}

}  // namespace

TEST_SUITE_BEGIN("step01");

TEST_CASE("sums: dot at the borders of the blocks") {
    for (Index n : {0, 1, 2, 63, 64, 65, 127, 128, 129, 130, 192, 577})
        for (std::uint64_t seed = 0; seed < 50; ++seed) {
            CAPTURE(n);
            CAPTURE(seed);
            const auto a = test::normals(n, seed), b = test::normals(n, seed + 1000);
            REQUIRE(same_bits(dot(a.data(), b.data(), n), dot_by_the_book(a, b)));
        }
}

TEST_CASE("sums: dot with strides is dot of the gathered values") {
    const auto a = test::normals(130 * 3, 1), b = test::normals(130 * 5, 2);
    std::vector<float> ga, gb;
    for (std::size_t i = 0; i < 130; ++i) ga.push_back(a[3 * i]), gb.push_back(b[5 * i]);
    CHECK(same_bits(dot(a.data(), 3, b.data(), 5, 130), dot(ga.data(), gb.data(), 130)));
}

TEST_CASE("sums: the total is the first block even when that is -0") {
    // The product underflows to a negative value nearer to 0 than to any float: the block is
    // -0, and 0 + -0 would be +0.
    const float tiny = 0x1p-100f, negative = -0x1p-100f;
    const float block = dot(&tiny, &negative, 1);
    CHECK(block == 0.0f);
    CHECK(std::signbit(block));
    for (std::size_t n : {64u, 65u, 130u}) {  // every block is -0, and so is their sum
        const std::vector<float> a(n, tiny), b(n, negative);
        CHECK(std::signbit(dot(a.data(), b.data(), static_cast<Index>(n))));
    }
}

TEST_CASE("sums: an empty sum is +0") {
    CHECK(same_bits(dot(nullptr, nullptr, 0), 0.0f));
    CHECK(same_bits(sum(nullptr, 0), 0.0f));
}

TEST_CASE("sums: one rounding per term because fma is not multiply and add") {
    // a * a = 1 + 2^-11 + 2^-24 exactly; a separate product rounds the last part away.
    const float a[] = {1.0f, 1.0f + 0x1p-12f}, b[] = {-1.0f, 1.0f + 0x1p-12f};
    CHECK(dot(a, b, 2) == 0x1p-11f + 0x1p-24f);
    const volatile float product = a[1] * b[1];
    CHECK(product - 1.0f == 0x1p-11f);
}

TEST_CASE("sums: blocks are 64 terms and not one long chain") {
    // 2^24 swallows each following 1 in a long chain; in blocks the ones of block 2
    // add up first.
    std::vector<float> ones(128, 1.0f), x(128, 1.0f);
    x[0] = 0x1p24f;
    CHECK(sum(x.data(), 128) == 0x1p24f + 64.0f);
    CHECK(dot(x.data(), ones.data(), 128) == 0x1p24f + 64.0f);
    std::vector<float> y(128, 1.0f);
    y[64] = 0x1p24f;  // now the second block swallows, and the first has added up
    CHECK(sum(y.data(), 128) == 0x1p24f + 64.0f);
}

TEST_CASE("sums: a residual is added after the sum and is not its start") {
    const auto a = test::normals(576, 3), b = test::normals(576, 4);
    int different = 0;
    for (int i = 0; i < 100; ++i) {
        const float residual = 10.0f + static_cast<float>(i);
        float started = residual;
        for (std::size_t k = 0; k < 576; ++k) started = std::fma(a[k], b[k], started);
        different += !same_bits(started, residual + dot(a.data(), b.data(), 576));
    }
    CHECK(different > 50);  // the test data notice it
}

TEST_CASE("sums: norms against a double reference and rule 4 by hand") {
    for (Index n : {1, 2, 64, 65, 130, 576}) {
        CAPTURE(n);
        const auto x = test::normals(n, 5, 3.0f), w = test::normals(n, 6),
                   b = test::normals(n, 7);
        std::vector<float> y(x.size());
        rms_norm(x.data(), w.data(), 1e-5f, n, y.data());
        double squares = 0, mean = 0;
        for (float v : x) squares += double(v) * double(v), mean += double(v);
        const double r = 1 / std::sqrt(squares / double(n) + 1e-5);
        mean /= double(n);
        for (std::size_t i = 0; i < x.size(); ++i)  // six roundings of 2^-24 and the sum's
            CHECK(std::fabs(double(y[i]) - double(x[i]) * r * double(w[i])) <=
                  4e-6 * std::fabs(double(y[i])) + 1e-30);
        const float rounded_r =
            1.0f / std::sqrt(dot(x.data(), x.data(), n) / static_cast<float>(n) + 1e-5f);
        for (std::size_t i = 0; i < x.size(); ++i)
            CHECK(same_bits(y[i], (x[i] * rounded_r) * w[i]));
        layer_norm(x.data(), w.data(), b.data(), 1e-5f, n, y.data());
        double variance = 0;
        for (float v : x) variance += (double(v) - mean) * (double(v) - mean);
        const double r2 = 1 / std::sqrt(variance / double(n) + 1e-5);
        for (std::size_t i = 0; i < x.size(); ++i)
            CHECK(std::fabs(double(y[i]) - ((double(x[i]) - mean) * r2 * double(w[i]) +
                                            double(b[i]))) <= 2e-5);
    }
}

TEST_CASE("sums: rms_norm and layer_norm may write over their input") {
    auto x = test::normals(130, 8);
    const auto w = test::normals(130, 9), b = test::normals(130, 10);
    std::vector<float> y(130);
    rms_norm(x.data(), w.data(), 1e-5f, 130, y.data());
    auto z = x;
    rms_norm(z.data(), w.data(), 1e-5f, 130, z.data());
    CHECK(compare_bits(y, z).differ == 0);
    layer_norm(x.data(), w.data(), b.data(), 1e-5f, 130, y.data());
    z = x;
    layer_norm(z.data(), w.data(), b.data(), 1e-5f, 130, z.data());
    CHECK(compare_bits(y, z).differ == 0);
}

TEST_CASE("checksum: FNV-1a of known words and sensitive to order and sign of zero") {
    CHECK(Checksum().hex() == "cbf29ce484222325");
    Checksum one;
    one.add_bits('a');  // a word below 256 is one byte: the published FNV-1a of "a"
    CHECK(one.hex() == "af63dc4c8601ec8c");
    Checksum foobar;
    for (char c : {'f', 'o', 'o', 'b', 'a', 'r'})
        foobar.add_bits(static_cast<unsigned char>(c));
    CHECK(foobar.hex() == "85944171f73967e8");
    const std::vector<float> a = {1.0f, 2.0f}, b = {2.0f, 1.0f}, c = {0.0f}, d = {-0.0f};
    CHECK(checksum(a) != checksum(b));
    CHECK(checksum(c) != checksum(d));
    CHECK(checksum({}) == 0xcbf29ce484222325ull);
}

TEST_CASE("compare_bits: counts and finds and merges") {
    const std::vector<float> a = {1, 2, 3, 4}, b = {1, 2.0f + 0x1p-22f, 3, -4};
    Difference d = compare_bits(a, b);
    CHECK(d.count == 4);
    CHECK(d.differ == 2);
    CHECK(d.first == 1);
    CHECK(d.max_abs == 8.0);
    Difference whole = compare_bits(a, a);
    whole.merge(d);
    CHECK(whole.count == 8);
    CHECK(whole.first == 5);
    const std::vector<float> nan = {std::nanf("")}, zero = {0.0f};
    CHECK(std::isinf(compare_bits(nan, zero).max_abs));
    CHECK(compare_bits(nan, nan).differ == 0);
    CHECK_THROWS_AS(compare_bits(a, nan), Error);
}

TEST_CASE("kernels: rms_norm of many rows equals the plain loop on each") {
    for (Index n : {1, 63, 64, 65, 130, 576})
        for (Index rows : {1, 7, 8, 9, 17}) {
            const auto x = test::normals(rows * (n + 3), 31), w = test::normals(n, 32);
            std::vector<float> row(usize(n)), y(x.size());
            for (SimdLevel level : supported_simd_levels()) {
                tensor_kernels(level).rms_norm(rows, x.data(), n + 3, w.data(), 1e-5f, n,
                                               y.data(), n + 3);
                for (Index r = 0; r < rows; ++r) {
                    rms_norm(&at(x, r * (n + 3)), w.data(), 1e-5f, n, row.data());
                    REQUIRE(compare_bits(row, {&at(y, r * (n + 3)), row.size()}).differ == 0);
                }
            }
        }
}

TEST_SUITE_END();
