// Q4_K: blocks of 256 whose scales and minima are codes themselves. Mistakes in mind: minima
// read from the wrong half, the upper two bits of a scale lost, nibbles of neighbouring groups
// taken for each other, a search that forgets where it was, mistakes for tiny and
// for huge numbers.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>

#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/packed_matrix.hpp>
#include <kvlab/tensor/random.hpp>
#include <kvlab/weights/convert.hpp>
#include <kvlab/weights/gguf_writer.hpp>
#include <kvlab/weights/quantize.hpp>
#include "random_blocks.hpp"
#include "weights_support.hpp"

using namespace kvlab;
using namespace kvlab::test;

TEST_SUITE_BEGIN("weights");

namespace {

constexpr std::size_t kNumbers = 256, kBytes = 144;

std::vector<std::byte> to_q4_k(const std::vector<float>& values) {
    std::vector<std::byte> out(values.size() / kNumbers * kBytes);
    quantize(TensorType::q4_k, values, out);
    return out;
}

std::vector<float> from_q4_k(const std::vector<std::byte>& bytes) {
    std::vector<float> out(bytes.size() / kBytes * kNumbers);
    dequantize(TensorType::q4_k, bytes, out);
    return out;
}

// d = 2, dmin = 0.5; group j has the scale 7j + 3 and the minimum 60 - 5j: beyond four bits in
// both halves, and every one different.
std::vector<std::byte> hand_made() {
    std::vector<std::byte> block(kBytes);
    block[1] = std::byte{0x40};  // f16 2.0 = 0x4000
    block[3] = std::byte{0x38};  // f16 0.5 = 0x3800
    // Scales 3 10 17 24 | 31 38 45 52, minima 60 55 50 45 | 40 35 30 25. Byte 0: 3 and the
    // upper two bits of 31 (01), shifted by six: 0x43. Byte 4: 60 and those of 40 (10): 0xbc.
    // Byte 8: lower four bits of 31 (15) and of 40 (8): 0x8f. And so on.
    const int packed[] = {0x43, 0x8a, 0x91, 0xd8, 0xbc, 0xb7,
                          0x72, 0x6d, 0x8f, 0x36, 0xed, 0x94};
    for (std::size_t i = 0; i < 12; ++i) block[4 + i] = static_cast<std::byte>(packed[i]);
    for (std::size_t i = 0; i < 128; ++i) block[16 + i] = static_cast<std::byte>(i * 37 % 256);
    return block;
}

}  // namespace

TEST_CASE("Q4_K: a block by hand") {
    const std::vector<float> x = from_q4_k(hand_made());
    for (std::size_t i = 0; i < kNumbers; ++i) {
        const std::size_t group = i / 32, byte = group / 2 * 32 + i % 32;
        const auto code = (byte * 37 % 256) >> (group % 2 * 4) & 15u;
        const auto scale = static_cast<float>(7 * group + 3);
        const auto minimum = static_cast<float>(60 - 5 * group);
        CHECK(x[i] == 2.0f * scale * static_cast<float>(code) - 0.5f * minimum);
    }
}

TEST_CASE("Q4_K: every scale and every minimum of six bits in every group is read alone") {
    for (std::size_t j = 0; j < 8; ++j)
        for (unsigned value = 0; value < 64; ++value)
            for (const bool minimum : {false, true}) {
                std::vector<std::byte> block(kBytes);
                block[1] = block[3] = std::byte{0x3c};  // d = dmin = 1
                std::fill(block.begin() + 16, block.end(), std::byte{0x11});
                const std::size_t plain = (minimum ? 4 : 0) + j % 4;
                if (j < 4) {
                    block[4 + plain] = static_cast<std::byte>(value);
                } else {
                    block[4 + plain] = static_cast<std::byte>(value >> 4 << 6);
                    block[4 + j + 4] =
                        static_cast<std::byte>((value & 15u) << (minimum ? 4 : 0));
                }
                const std::vector<float> x = from_q4_k(block);
                const float expected = static_cast<float>(value) * (minimum ? -1.0f : 1.0f);
                for (std::size_t i = 0; i < kNumbers; ++i)
                    REQUIRE(x[i] == (i / 32 == j ? expected : 0.0f));
            }
}

TEST_CASE("Q4_K: a byte's halves belong to the same place of two groups") {
    for (std::size_t at = 0; at < 128; ++at) {
        std::vector<std::byte> block(kBytes);
        block[1] = std::byte{0x3c};                       // d = 1
        std::fill_n(block.begin() + 4, 4, std::byte{1});  // scales 1
        std::fill_n(block.begin() + 12, 4, std::byte{1});
        block[16 + at] = std::byte{0xb5};
        const std::vector<float> x = from_q4_k(block);
        const std::size_t low = at / 32 * 64 + at % 32;
        for (std::size_t i = 0; i < kNumbers; ++i)
            REQUIRE(x[i] == (i == low ? 5.0f : i == low + 32 ? 11.0f : 0.0f));
    }
}

TEST_CASE("Q4_K: the reference quantiser's bytes and values") {
    std::ifstream in(KVLAB_TEST_DATA "/q4_k_reference.txt");
    std::string line, name;
    std::vector<float> values;
    std::vector<std::byte> bytes;
    int blocks = 0;
    while (std::getline(in, line)) {
        const std::string word = line.substr(0, line.find(' '));
        const std::string rest = line.substr(std::min(line.size(), word.size() + 1));
        CAPTURE(name);
        if (word == "block") name = rest;
        if (word == "values") values = floats(rest);
        if (word == "q4_k") {
            bytes = to_q4_k(values);
            CHECK(hex(bytes) == rest);
        }
        if (word == "means") {
            ++blocks;
            CHECK(hex(from_q4_k(bytes)) == rest);
        }
    }
    CHECK(blocks == 25);
}

TEST_CASE("Q4_K: zeros and constants and tiny and huge numbers") {
    for (float x : from_q4_k(to_q4_k(std::vector<float>(kNumbers, 0.0f)))) CHECK(x == 0.0f);
    for (float same : {0.75f, -0.3f, 1000.0f})
        for (float x : from_q4_k(to_q4_k(std::vector<float>(kNumbers, same))))
            CHECK(x == doctest::Approx(static_cast<double>(same)).epsilon(0.002));
    // Scale and minimum are below the smallest f16: lost, not wrong.
    for (float tiny : {1e-9f, 1e-30f, std::numeric_limits<float>::denorm_min()}) {
        std::vector<float> values(kNumbers);
        for (std::size_t i = 0; i < kNumbers; ++i)
            values[i] = i % 3 == 0 ? -tiny : static_cast<float>(i % 5) * tiny;
        for (float x : from_q4_k(to_q4_k(values))) CHECK(x == 0.0f);
    }
    std::vector<float> values(kNumbers, 1.0f);
    values[5] = std::numeric_limits<float>::infinity();
    CHECK(error_of([&] { to_q4_k(values); }) ==
          "quantize Q4_K: number 5 is inf, expected a finite one");
    for (float huge : {1e9f, 1e20f, 3e38f}) {
        values[5] = huge;
        CHECK(error_of([&] { to_q4_k(values); }).find("too large") != std::string::npos);
        values[5] = -huge;
        CHECK(error_of([&] { to_q4_k(values); }).find("too large") != std::string::npos);
    }
}

TEST_CASE("Q4_K: the error is that of sixteen steps over a group's range") {
    // 32 normals span about 4.1 sigma, so a step is 4.1 / 15 = 0.27, and numbers spread evenly
    // between two codes are off by 0.27 / sqrt(12) = 0.08 in root mean square.
    Rng rng(33);
    for (int round = 0; round < 200; ++round) {
        std::vector<float> values(kNumbers);
        for (float& x : values) x = rng.normal();
        const std::vector<std::byte> bytes = to_q4_k(values);
        const std::vector<float> back = from_q4_k(bytes);
        double squares = 0;
        for (std::size_t i = 0; i < kNumbers; ++i) {
            const double off = static_cast<double>(back[i]) - static_cast<double>(values[i]);
            squares += off * off;
            REQUIRE(std::fabs(off) < 0.5);
        }
        CHECK(std::sqrt(squares / kNumbers) < 0.1);
    }
}

TEST_CASE("Q4_K: what does not fit the blocks is refused") {
    CHECK(error_of([] { to_q4_k(std::vector<float>(128)); }) ==
          "quantize Q4_K: expected a multiple of 256 numbers, found 128");
    CHECK(error_of([] { PackedMatrix(64, 128, TensorType::q4_k); }).find("multiple of 256") !=
          std::string::npos);
}

TEST_CASE("Q4_K: convert gives rows that do not fit another type and lists them") {
    Rng rng(34);
    GgufWriter writer;
    writer.metadata().set("general.architecture", std::string("sample"));
    std::vector<float> wide(3 * 512), narrow(4 * 128);  // two blocks, but half a block a row
    for (float& x : wide) x = rng.normal();
    for (float& x : narrow) x = rng.normal();
    writer.add("wide.weight", {3, 512}, wide);
    writer.add("narrow.weight", {4, 128}, narrow);
    const std::vector<std::byte> file = writer.to_bytes();
    const Folder folder;
    const auto path = folder / "out.gguf";
    const ConvertReport report = convert(GgufFile::parse(file, "in"), path, TensorType::q4_k);
    CHECK(report.converted == 1);
    REQUIRE(report.misfits.size() == 1);
    CHECK(report.misfits[0].name == "narrow.weight");
    CHECK(report.misfits[0].type == TensorType::q8_0);
    CHECK(report.bytes_out == 3 * 2 * 144 + 4 * 128 / 32 * 34);
    const GgufFile out = GgufFile::open(path);
    CHECK(out.tensor("wide.weight").type == TensorType::q4_k);
    CHECK(compare_bits(to_f32(out.tensor("wide.weight")).flat(), from_q4_k(to_q4_k(wide)))
              .differ == 0);
    std::vector<std::byte> bytes(4 * 128 / 32 * 34);
    quantize(TensorType::q8_0, narrow, bytes);
    const auto found = out.tensor("narrow.weight").bytes;
    CHECK(std::equal(bytes.begin(), bytes.end(), found.begin(), found.end()));
}

TEST_SUITE_END();
