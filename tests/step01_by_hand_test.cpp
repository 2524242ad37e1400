// The worked examples of chapter 1: the numbers that stand in its text, to the bit.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <vector>

#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/numerics.hpp>
#include <kvlab/tensor/random.hpp>
#include <kvlab/tensor/rope.hpp>
#include <kvlab/tensor/sampling.hpp>
#include <kvlab/tensor/tensor_type.hpp>

using namespace kvlab;

namespace {

std::uint32_t bits(float value) {
    return std::bit_cast<std::uint32_t>(value);
}

// A sum that the compiler cannot work out by itself.
float added(float a, float b) {
    const volatile float left = a, right = b;
    return left + right;
}

bool within(float found, double expected, double digits) {
    return std::fabs(static_cast<double>(found) - expected) <= digits;
}

}  // namespace

TEST_SUITE_BEGIN("step01");

TEST_CASE("by hand: a float's bits and how a number between two floats is rounded") {
    CHECK(bits(6.5f) == 0b0'10000001'10100000000000000000000u);
    CHECK(bits(0.1f) == 0b0'01111011'10011001100110011001101u);
    CHECK(16777217.0f == 16777216.0f);  // halfway: the even fraction
    CHECK(16777219.0f == 16777220.0f);
    CHECK(bits(0.0f) == 0);
    CHECK(bits(std::nextafter(0.0f, 1.0f)) == 1);
    CHECK(bits(std::nextafter(1.0f, 0.0f)) == 1065353215);
    CHECK(bits(1.0f) == 1065353216);
    CHECK(bits(-1.0f) == 3212836864u);
}

TEST_CASE("by hand: two orders of one sum") {
    CHECK(added(added(16777216.0f, 1), 1) == 16777216.0f);
    CHECK(added(16777216.0f, added(1, 1)) == 16777218.0f);
    std::vector<float> x(128, 1.0f);
    x[0] = 16777216.0f;
    float chain = 0;
    for (const float number : x) chain = added(chain, number);
    CHECK(chain == 16777216.0f);
    CHECK(sum(x.data(), 128) == 16777280.0f);
    Rng left(42), right(43);
    std::vector<float> a(576), b(576);
    for (float& number : a) number = left.normal();
    for (float& number : b) number = right.normal();
    float forwards = 0, backwards = 0;
    for (std::size_t i = 0; i < 576; ++i) {
        forwards = std::fma(a[i], b[i], forwards);
        backwards = std::fma(a[575 - i], b[575 - i], backwards);
    }
    CHECK(forwards == 0x1.612e28p+5f);
    CHECK(backwards == 0x1.612e2cp+5f);
    CHECK(dot(a.data(), b.data(), 576) == 0x1.612e2ap+5f);
}

TEST_CASE("by hand: one rounding and two") {
    const volatile float a = 1.0f + 0x1p-12f;
    const volatile float product = a * a;
    CHECK(product - 1.0f == 0x1p-11f);
    CHECK(std::fma(a, a, -1.0f) == 0x1.0008p-11f);
}

TEST_CASE("by hand: a block that is -0") {
    const float block = std::fma(0x1p-100f, -0x1p-100f, 0.0f);
    CHECK(bits(block) == 0x80000000u);
    CHECK(bits(added(0.0f, block)) == 0);
    const volatile float zero = 0.0f, minus_one = -1.0f;
    CHECK(bits(zero * minus_one) == 0x80000000u);
    CHECK(bits(std::fma(zero, minus_one, 0.0f)) == 0);
    const std::array<float, 1> no = {0}, one = {-1};
    CHECK(bits(dot(no.data(), one.data(), 1)) == 0);
}

TEST_CASE("by hand: four views of twelve numbers") {
    Tensor t({3, 4});
    for (std::size_t i = 0; i < 12; ++i) t.flat()[i] = static_cast<float>(i);
    const View<float> all = t.view(), columns = all.slice(1, 1, 3),
                      turned = all.transposed(0, 1);
    CHECK(all(2, 1) == 9);
    CHECK(all[1].data() - t.data() == 4);
    CHECK(columns.data() - t.data() == 1);
    CHECK(columns.stride(0) == 4);
    CHECK(columns(2, 1) == 10);
    CHECK_FALSE(columns.contiguous());
    CHECK(turned.shape() == Shape{4, 3});
    CHECK(turned.stride(0) == 1);
    CHECK(turned.stride(1) == 4);
    CHECK(turned(1, 2) == 9);
}

TEST_CASE("by hand: a product of two rows and two outputs") {
    Tensor x({2, 3}), w({2, 3}), y({2, 2});
    const std::array<float, 6> of_x = {1, 2, 3, 0.5f, 0, -1}, of_w = {1, 0, -1, 2, 1, 0};
    for (std::size_t i = 0; i < 6; ++i) x.flat()[i] = of_x[i], w.flat()[i] = of_w[i];
    matmul_plain(x.view(), w.view(), y.view());
    CHECK(y(0, 0) == -2);
    CHECK(y(0, 1) == 4);
    CHECK(y(1, 0) == 1.5f);
    CHECK(y(1, 1) == 1);
}

TEST_CASE("by hand: a variance in one pass, and a layer norm") {
    for (const auto& [middle, short_cut] :
         {std::pair{4.0f, 2.6667}, {1000.0f, 2.6875}, {100000.0f, 0.0}}) {
        const std::array<float, 3> x = {middle - 2, middle, middle + 2};
        const float mean = sum(x.data(), 3) / 3;
        CHECK(mean == middle);
        const volatile float of_squares = dot(x.data(), x.data(), 3) / 3, square = mean * mean;
        CHECK(within(of_squares - square, short_cut, 5e-5));
    }
    const std::array<float, 3> x = {2, 4, 6}, one = {1, 1, 1}, none = {0, 0, 0};
    std::array<float, 3> y = {};
    layer_norm(x.data(), one.data(), none.data(), 0.0f, 3, y.data());
    CHECK(within(y[0], -1.2247, 5e-5));
    CHECK(y[1] == 0);
    CHECK(within(y[2], 1.2247, 5e-5));
}

TEST_CASE("by hand: powers of two and where they end") {
    CHECK(within(exp2(3.4f), 10.5561, 5e-5));
    CHECK(within(exp2(1.5f), 2.82843, 5e-6));
    CHECK(exp2(-2.0f) == 0.25f);
    CHECK(exp2(-126.5f) > 0);
    CHECK(exp2(-126.6f) == 0);
    CHECK(is_finite(exp2(127.4f)));
    CHECK_FALSE(is_finite(exp2(127.5f)));
}

TEST_CASE("by hand: the polynomial without its highest constant") {
    std::uint64_t most = 0;
    int count = 0, differ = 0;
    for (float f = -0.5f; f <= 0.5f; f += 0x1p-14f, ++count) {
        float p = kExp2Coefficients[5];
        for (int i = 4; i >= 0; --i) p = std::fma(p, f, kExp2Coefficients[i]);
        const std::uint64_t moved = ulp_distance(p, exp2_parts(f).p);
        most = std::max(most, moved);
        differ += moved > 0;
        if (std::fabs(f) < 0.05f) CHECK(moved <= 1);
    }
    CHECK(most == 41);
    CHECK(differ > 4 * count / 10);
    CHECK(differ < 6 * count / 10);
}

TEST_CASE("by hand: softmax of three scores") {
    const std::array<float, 3> scores = {3.4f, 1.5f, -2.0f};
    std::array<float, 3> weights = {};
    const float total = softmax_weights(scores, weights);
    CHECK(within(weights[0], 1.31951, 5e-6));
    CHECK(weights[1] == exp2_parts(-0.5f).p * 0.5f);
    CHECK(weights[2] == 0.03125f);
    CHECK(within(total, 1.70431, 5e-6));
    std::array<float, 2> late = {};
    softmax_weights(std::span(scores).subspan(1), late);
    CHECK(bits(late[0] * 0.5f) == bits(weights[1]));
    CHECK(bits(late[1] * 0.5f) == bits(weights[2]));
}

TEST_CASE("by hand: a pair that turns") {
    CHECK(std::fabs(3 * 0.6 - 5 * 0.8 + 2.2) < 1e-15);  // cosine 0.6, sine 0.8
    CHECK(std::fabs(3 * 0.8 + 5 * 0.6 - 5.4) < 1e-15);
    const RopeTable table(3, 2, 10000.0);
    std::array<float, 2> pair = {3, 5};
    table.rotate(pair.data(), 1);
    CHECK(within(pair[0], -2.5864, 5e-5));
    CHECK(within(pair[1], 5.2259, 5e-5));
}

TEST_CASE("by hand: a block of 32 numbers in 20 bytes") {
    // d = 0.25 and m = -2 as half floats. The first byte of codes has 1 for number 0 and 15 for
    // number 16, the second 8 for number 1 and 0 for number 17.
    std::array<std::byte, 20> block = {};
    block[1] = std::byte{0x34}, block[3] = std::byte{0xc0};
    block[4] = std::byte{0xf1}, block[5] = std::byte{0x08};
    std::array<float, 32> x = {};
    dequantize(TensorType::q4_1, block, x);
    CHECK(x[0] == -1.75f);
    CHECK(x[16] == 1.75f);
    CHECK(x[1] == 0);
    CHECK(x[17] == -2);
    CHECK(block_bytes(TensorType::q4_1) == 20);
}

TEST_CASE("by hand: draws from four weights") {
    const std::array<float, 4> weights = {4, 2, 1, 1};
    for (const auto& [top_p, uniform, drawn] : {std::tuple{1.0f, 0.1f, 0},
                                                {1.0f, 0.5f, 1},
                                                {1.0f, 0.7f, 1},
                                                {1.0f, 0.9f, 3},
                                                {0.6f, 0.1f, 0},
                                                {0.6f, 0.5f, 0},
                                                {0.6f, 0.7f, 1},
                                                {0.6f, 0.9f, 1}})
        CHECK(draw(weights, 8, top_p, uniform) == drawn);
}

TEST_SUITE_END();
