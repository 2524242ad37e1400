// by_hand_numbers.cpp - chapter 1: worked examples on numbers, their bits and their rounding.
#include <bit>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <vector>

#include "app.hpp"
#include "by_hand.hpp"

#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/numerics.hpp>

namespace kvlab::app {

namespace {

void row(const std::string& what, const std::string& value) {
    std::cout << "  " << pad(what, 44) << value << "\n";
}

std::string whole(float value) {
    return written("%.0f", value);
}

// A number of three decimal digits: what a float would be if we had only those.
double three_digits(double exact) {
    char text[32];
    std::snprintf(text, sizeof text, "%.3g", exact);
    return std::strtod(text, nullptr);
}

// ANCHOR: two_orders
float forwards(const float* a, const float* b, Index n) {
    float total = 0.0f;
    for (Index i = 0; i < n; ++i) total = std::fma(a[i], b[i], total);
    return total;
}

float backwards(const float* a, const float* b, Index n) {
    float total = 0.0f;
    for (Index i = n - 1; i >= 0; --i) total = std::fma(a[i], b[i], total);
    return total;
}

// ANCHOR_END: two_orders

std::string bits_of(float value) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    std::string text;
    for (int i = 31; i >= 0; --i) {
        text += (bits >> i & 1) != 0 ? '1' : '0';
        if (i == 31 || i == 23) text += ' ';
    }
    return text;
}

void bits_row(const std::string& what, float value) {
    std::cout << "  " << pad(what, 22) << bits_of(value) << "  "
              << pad(concat(std::bit_cast<std::uint32_t>(value)), 10, true) << "   "
              << written("%.12g", value) << "\n";
}

}  // namespace

void by_hand_order() {
    const Tensor a = random_matrix(1, 576, kSeed), b = random_matrix(1, 576, kSeed + 1);
    std::cout << "576 products of random numbers\n";
    row("forwards", written("%.7f", forwards(a.data(), b.data(), 576)));
    row("backwards", written("%.7f", backwards(a.data(), b.data(), 576)));
    std::cout << "With three decimal digits\n";
    row("(1000 + 4) + 4", concat(three_digits(three_digits(1000 + 4) + 4)));
    row("1000 + (4 + 4)", concat(three_digits(1000 + three_digits(4 + 4))));
}

void by_hand_blocks() {
    std::vector<float> x(128, 1.0f);
    const std::vector<float> ones(128, 1.0f);
    x[0] = 16777216.0f;
    std::cout << "16777216 and 127 ones\n";
    row("one after the other", whole(forwards(x.data(), ones.data(), 128)));
    row("in blocks of 64", whole(dot(x.data(), ones.data(), 128)));
    const Tensor a = random_matrix(1, 576, kSeed), b = random_matrix(1, 576, kSeed + 1);
    std::cout << "576 products of random numbers\n";
    row("in blocks of 64", written("%.7f", dot(a.data(), b.data(), 576)));
}

void by_hand_float() {
    std::cout
        << "  number                s exponent fraction                 as integer   value\n";
    bits_row("6.5", 6.5f);
    bits_row("0.1", 0.1f);
    bits_row("16777216", 16777216.0f);
    bits_row("16777217 -> 16777216", 16777217.0f);
    bits_row("16777219 -> 16777220", 16777219.0f);
    bits_row("+0", 0.0f);
    bits_row("smallest above 0", std::nextafter(0.0f, 1.0f));
    bits_row("largest below 1", std::nextafter(1.0f, 0.0f));
    bits_row("1", 1.0f);
    bits_row("-1", -1.0f);
}

void by_hand_fma() {
    std::cout << "With three decimal digits\n";
    const double square = three_digits(1.01 * 1.01);
    row("1.01 * 1.01, rounded, - 1, rounded", concat(three_digits(square - 1)));
    row("1.01 * 1.01 - 1, rounded once", concat(three_digits(1.01 * 1.01 - 1)));
    std::cout << "With floats, a = 1 + 2^-12\n";
    const float a = 1.0f + 0x1p-12f;
    const float product = a * a;
    row("a * a, rounded, - 1, rounded", written("%a", product - 1.0f));
    row("fma(a, a, -1): rounded once", written("%a", std::fma(a, a, -1.0f)));
}

void by_hand_zero() {
    const float tiny = 0x1p-100f;
    const float block = std::fma(tiny, -tiny, 0.0f);
    std::cout << "A block whose only term is -2^-200, too small for any float\n";
    row("the block", concat(written("%g", block), "   ", bits_of(block)));
    const float from_zero = 0.0f + block;
    row("0 + the block", concat(written("%g", from_zero), "    ", bits_of(from_zero)));
    row("are they equal as numbers", block == from_zero ? "yes" : "no");
    row("are their bits equal", ulp_distance(block, from_zero) == 0 ? "yes" : "no");
    const volatile float zero = 0.0f, minus_one = -1.0f;
    const float product = zero * minus_one, of_zeros = std::fma(zero, minus_one, 0.0f);
    std::cout << "A block whose only term is 0 * -1\n";
    row("0 * -1", concat(written("%g", product), "   ", bits_of(product)));
    row("the block, 0 * -1 + 0", concat(written("%g", of_zeros), "    ", bits_of(of_zeros)));
}

void by_hand_exp2() {
    std::cout << "         t     n         f   p = 2^f   2^t = p * 2^n\n";
    for (const float t : {3.4f, 1.5f, -2.0f, -126.5f, -126.6f, 127.4f, 127.5f}) {
        const auto [p, n] = exp2_parts(t);
        std::cout << pad(written("%.4g", t), 10, true) << pad(written("%.0f", n), 6, true)
                  << pad(written("%.4f", t - n), 10, true) << pad(written("%.4f", p), 10, true)
                  << pad(written("%.6g", exp2(t)), 16, true) << "\n";
    }
}

// Machine dependent: it asks the C library that this program is linked with.
void by_hand_libm() {
    Index differ = 0, count = 0;
    float first = 0;
    for (float x = -10.0f; x < 10.0f; x += 0x1p-13f, ++count) {
        const float narrow = std::exp(x);
        const auto rounded = static_cast<float>(std::exp(static_cast<double>(x)));
        if (ulp_distance(narrow, rounded) == 0) continue;
        if (differ++ == 0) first = x;
    }
    std::cout << "e^x of " << count << " floats from -10 to 10, by this system's library\n";
    row("expf(x) is not exp(x) rounded to float", concat(differ, " times of ", count));
    if (differ == 0) return;
    row("the first of them: x", written("%.9g", first));
    row("expf(x)", written("%a", std::exp(first)));
    const auto rounded = static_cast<float>(std::exp(static_cast<double>(first)));
    row("exp(x) rounded to float", written("%a", rounded));
}

}  // namespace kvlab::app
