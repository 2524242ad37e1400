// The block formats: bytes that were checked by hand, bytes of the reference package, and laws.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>

#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/half.hpp>
#include <kvlab/weights/quantize.hpp>
#include "weights_support.hpp"

using namespace kvlab;
using namespace kvlab::test;

TEST_SUITE_BEGIN("weights");

namespace {

// Q4_K, with its blocks of 256, has a file of its own.
constexpr TensorType kUpTo32[] = {TensorType::f32,  TensorType::f16,  TensorType::bf16,
                                  TensorType::q8_0, TensorType::q4_0, TensorType::q4_1};
constexpr TensorType kBlockTypes[] = {TensorType::q8_0, TensorType::q4_0, TensorType::q4_1};

std::vector<std::byte> packed(TensorType type, const std::vector<float>& values) {
    std::vector<std::byte> out(usize(bytes_for(type, std::ssize(values))));
    quantize(type, values, out);
    return out;
}

std::vector<float> unpacked(TensorType type, const std::vector<std::byte>& bytes) {
    const auto blocks = std::ssize(bytes) / block_bytes(type);
    std::vector<float> out(usize(blocks * block_elements(type)));
    dequantize(type, bytes, out);
    return out;
}

// 32 values: those given, then zeros.
std::vector<float> block(std::vector<float> values) {
    values.resize(32);
    return values;
}

// A fixed stream of numbers of many sizes: integers only, so that every machine draws the same.
class Stream {
public:
    std::uint32_t next() {
        state_ = state_ * 6364136223846793005ull + 1442695040888963407ull;
        return static_cast<std::uint32_t>(state_ >> 33);
    }

    float uniform() { return static_cast<float>(next()) * 0x1p-30f - 1.0f; }

    std::vector<float> block() {
        const float scale = std::ldexp(1.0f, static_cast<int>(next() % 24) - 16);
        std::vector<float> values(32);
        for (float& x : values) x = scale * (uniform() + uniform() + uniform());
        return values;
    }

private:
    std::uint64_t state_ = 42;
};

}  // namespace

TEST_CASE("types: sizes and names") {
    CHECK(bytes_for(TensorType::f32, 5) == 20);
    CHECK(bytes_for(TensorType::f16, 5) == 10);
    CHECK(bytes_for(TensorType::bf16, 5) == 10);
    CHECK(bytes_for(TensorType::q8_0, 64) == 68);
    CHECK(bytes_for(TensorType::q4_0, 64) == 36);
    CHECK(bytes_for(TensorType::q4_1, 64) == 40);
    for (TensorType type : kTensorTypes) {
        CHECK(tensor_type_from_number(static_cast<std::uint32_t>(type)) == type);
        CHECK(tensor_type_from_name(type_name(type)) == type);
    }
    CHECK(tensor_type_from_name("q4_1") == TensorType::q4_1);
    CHECK(bytes_for(TensorType::q4_k, 512) == 288);
    CHECK_FALSE(tensor_type_from_name("q6_k").has_value());
    CHECK_FALSE(tensor_type_from_number(13).has_value());
    CHECK(error_of([] { bytes_for(TensorType::q8_0, 33); }) ==
          "Q8_0: expected a multiple of 32 numbers, found 33");
    CHECK(error_of([] { type_name(static_cast<TensorType>(13)); }) ==
          "tensor type: number 13 is not one that kvlab knows");
}

TEST_CASE("quant: every code by hand") {
    // Numbers 0..31. Q8_0: d = 31/127 -> f16 0x33d0; 31 -> 127, 1 -> 4.097 -> 4.
    std::vector<float> ramp(32);
    for (std::size_t i = 0; i < 32; ++i) ramp[i] = static_cast<float>(i);
    CHECK(hex(packed(TensorType::q8_0, ramp)) ==
          "d033"
          "0004080c1014191d2125292d3135393d42464a4e52565a5e62666b6f73777b7f");
    // Q4_0: d = 31/-8 = -3.875 -> 0xc3c0; code of x: x/d + 8.5, cut off. Byte j: j
    // low, j+16 high.
    CHECK(hex(packed(TensorType::q4_0, ramp)) ==
          "c0c3"
          "48483737373726262626151515150404");
    // Q4_1: d = 31/15 -> 0x4022, m = 0; 16 -> 7.74 + 0.5 -> 8.
    CHECK(hex(packed(TensorType::q4_1, ramp)) ==
          "22400000"
          "80809191a2a2b3b3c4c4d5d5e6e6f7f7");
}

TEST_CASE("quant: low half of byte j is number j and high half is number j+16") {
    for (TensorType type : {TensorType::q4_0, TensorType::q4_1}) {
        const std::size_t header = type == TensorType::q4_0 ? 2 : 4;
        for (std::size_t j = 0; j < 16; ++j) {
            std::vector<std::byte> bytes(header + 16);
            bytes[1] = std::byte{0x3c};  // d = 1
            bytes[header + j] = std::byte{0xb5};
            const std::vector<float> x = unpacked(type, bytes);
            const float offset = type == TensorType::q4_0 ? -8.0f : 0.0f;
            for (std::size_t i = 0; i < 32; ++i)
                CHECK(x[i] == offset + (i == j ? 5.0f : i == j + 16 ? 11.0f : 0.0f));
        }
    }
}

TEST_CASE("quant: Q4_0 cuts off the extreme of the other sign") {
    CHECK(unpacked(TensorType::q4_0, packed(TensorType::q4_0, block({-1, 1})))[1] == 0.875f);
    const auto x = unpacked(TensorType::q4_0, packed(TensorType::q4_0, block({1, -1})));
    CHECK(x[0] == 1.0f);     // the first of two equal magnitudes sets the sign of d
    CHECK(x[1] == -0.875f);  // so this one is cut off
}

TEST_CASE("quant: Q8_0 rounds halves away from zero and only halves") {
    const auto bytes =
        packed(TensorType::q8_0,
               block({127, 0.5f, -0.5f, 1.5f, -2.5f, 0.49999997f, -0.49999997f, 126.5f}));
    CHECK(hex(bytes).substr(0, 20) == "003c7f01ff02fd00007f");
}

TEST_CASE("quant: codes come from the scale before f16 and values from the one behind") {
    // d = 1.0004 is 1.0 in f16 (the next is 1.00098): 100.52 is 100.48 steps of d, code 100,
    // but 100.52 steps of 1.0, which would be code 101.
    const float d = 1.0004f;
    const auto bytes = packed(TensorType::q8_0, block({127 * d, 100.52f, -100.52f}));
    CHECK(hex(bytes).substr(0, 10) == "003c7f649c");
    CHECK(unpacked(TensorType::q8_0, bytes)[0] == 127.0f);
}

TEST_CASE("quant: blocks of zeros and of one value and of tiny values") {
    for (TensorType type : kBlockTypes) {
        CAPTURE(std::string(type_name(type)));
        for (float x : unpacked(type, packed(type, block({})))) CHECK(x == 0.0f);
        const auto same = unpacked(type, packed(type, std::vector<float>(32, 0.75f)));
        for (float x : same) CHECK(x == doctest::Approx(0.75).epsilon(0.001));
        // d is below the smallest f16 (2^-24 / 2): every value is lost, none is wrong.
        for (float tiny : {1e-9f, -1e-9f, 1e-30f, std::numeric_limits<float>::denorm_min()})
            for (float x : unpacked(type, packed(type, block({tiny, -tiny, tiny / 2}))))
                CHECK(x == 0.0f);
    }
    // d is -0 for a block of zeros: 0 / -8. ggml-quants.c begins with +0, so
    // -0 changes nothing.
    for (float zero : {0.0f, -0.0f})
        CHECK(hex(packed(TensorType::q4_0, std::vector<float>(32, zero))) ==
              "0080"
              "88888888888888888888888888888888");
    CHECK(hex(packed(TensorType::q4_1, std::vector<float>(32, -0.5f))) ==
          "000000b8"
          "00000000000000000000000000000000");
}

TEST_CASE("quant: what is not finite or does not fit is refused") {
    const float inf = std::numeric_limits<float>::infinity(), nan = std::nanf("");
    for (TensorType type : kUpTo32) {
        CAPTURE(std::string(type_name(type)));
        CHECK(error_of([&] {
                  packed(type, block({0, inf}));
              }) == std::string("quantize ") + type_name(type) +
                        ": number 1 is inf, expected a finite one");
        CHECK(error_of([&] { packed(type, block({nan})); }) ==
              std::string("quantize ") + type_name(type) +
                  ": number 0 is nan, expected a finite one");
    }
    const float most = std::numeric_limits<float>::max();
    CHECK(error_of([&] { packed(TensorType::q8_0, block({65520.0f * 127})); }) ==
          "quantize Q8_0: the f16 number 65520 is too large (at most 65504)");
    CHECK(error_of([&] { packed(TensorType::q4_0, block({-65520.0f * 8})); }) ==
          "quantize Q4_0: the f16 number 65520 is too large (at most 65504)");
    CHECK(error_of([&] {
              packed(TensorType::q4_1, block({most, -most}));
          }) == "quantize Q4_1: the f16 number inf is too large (at most 65504)");
    CHECK(error_of([&] {
              packed(TensorType::q4_1, block({70000, 70001})).clear();
          }) == "no error");
    CHECK(error_of([&] { packed(TensorType::q4_1, std::vector<float>(32, 70000)); }) ==
          "quantize Q4_1: the f16 number 70000 is too large (at most 65504)");
    CHECK(error_of([&] { packed(TensorType::bf16, block({most})); }) ==
          "quantize BF16: the number 3.40282e+38 is too large");
    CHECK(error_of([&] { packed(TensorType::f16, block({65519.0f})); }) == "no error");
}

TEST_CASE("quant: wrong lengths are refused") {
    std::vector<float> values(64);
    std::vector<std::byte> bytes(68);
    const std::span<float> x(values);
    const std::span<std::byte> b(bytes);
    CHECK(error_of([&] { quantize(TensorType::q8_0, x.first(63), b); }) ==
          "quantize Q8_0: expected a multiple of 32 numbers, found 63");
    CHECK(error_of([&] { quantize(TensorType::q8_0, x, b.first(67)); }) ==
          "quantize Q8_0: expected 68 bytes for 64 numbers, found 67");
    CHECK(error_of([&] { dequantize(TensorType::f16, b, x); }) ==
          "dequantize F16: expected 128 bytes for 64 numbers, found 68");
    CHECK(error_of([&] { dequantize(TensorType::q8_0, b.first(0), x.first(0)); }) ==
          "no error");
}

TEST_CASE("quant: the reference package's bytes and values") {
    std::ifstream in(KVLAB_TEST_DATA "/quant_reference.txt");
    std::string line, name;
    std::vector<float> values;
    TensorType type = TensorType::f32;
    std::vector<std::byte> bytes;
    int blocks = 0;
    while (std::getline(in, line)) {
        const std::string word = line.substr(0, line.find(' '));
        const std::string rest = line.substr(std::min(line.size(), word.size() + 1));
        if (word == "block") {
            name = rest;
        } else if (word == "values") {
            values = floats(rest);
        } else if (word == "means") {
            ++blocks;
            CHECK(hex(unpacked(type, bytes)) == rest);
        } else if (word != "#") {
            CAPTURE(name);
            CAPTURE(word);
            REQUIRE(tensor_type_from_name(word).has_value());
            type = *tensor_type_from_name(word);
            bytes = packed(type, values);
            CHECK(hex(bytes) == rest);
        }
    }
    CHECK(blocks == 34 * 5);
}

TEST_CASE("quant: once quantised stays as it is") {
    Stream stream;
    for (int i = 0; i < 20000; ++i) {
        const std::vector<float> values = stream.block();
        for (TensorType type : kUpTo32) {
            const auto once = packed(type, values);
            const auto twice = packed(type, unpacked(type, once));
            if (once == twice) continue;
            // A block with d = 0 keeps its codes only the first time; its values are the same.
            CAPTURE(std::string(type_name(type)));
            REQUIRE(compare_bits(unpacked(type, once), unpacked(type, twice)).differ == 0);
        }
    }
}

TEST_CASE("quant: no value is further off than the format allows") {
    // f16 rounds d and m by at most 2^-11 of their size (and 2^-25 where they are subnormal).
    Stream stream;
    for (int i = 0; i < 20000; ++i) {
        const std::vector<float> values = stream.block();
        const auto [low, high] = std::minmax_element(values.begin(), values.end());
        const double least = static_cast<double>(*low), most = static_cast<double>(*high);
        const double amax = std::max(std::fabs(least), std::fabs(most));
        const double range = most - least, h = 0x1p-11, tiny = 0x1p-25;
        const double bounds[] = {amax * (0.5 / 127 + h) + 127 * tiny,
                                 amax * (1.0 / 8 + h) + 8 * tiny,
                                 range * (0.5 / 15 + h) + std::fabs(least) * h + 16 * tiny};
        for (std::size_t t = 0; t < 3; ++t) {
            CAPTURE(std::string(type_name(kBlockTypes[t])));
            const auto back = unpacked(kBlockTypes[t], packed(kBlockTypes[t], values));
            for (std::size_t j = 0; j < 32; ++j)
                REQUIRE(std::fabs(static_cast<double>(back[j]) -
                                  static_cast<double>(values[j])) <= bounds[t] * 1.000001);
        }
    }
}

TEST_CASE("quant: all 16 times 16 pairs of codes survive") {
    for (TensorType type : {TensorType::q4_0, TensorType::q4_1}) {
        const std::size_t header = type == TensorType::q4_0 ? 2 : 4;
        for (int codes = 0; codes < 256; ++codes) {
            std::vector<std::byte> bytes(header + 16, static_cast<std::byte>(codes));
            // d = 0.5, m = 0.5; one pair of extremes so that the scale is found again.
            std::fill_n(bytes.begin(), header, std::byte{0});
            bytes[1] = std::byte{0x38};
            if (header == 4) bytes[3] = std::byte{0x38};
            bytes[header] = std::byte{0xf0};
            CHECK(hex(packed(type, unpacked(type, bytes))) == hex(bytes));
        }
    }
}

TEST_SUITE_END();
