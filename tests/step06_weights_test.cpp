// Step 6: weights in few bytes. Mistakes in mind: halves of a byte swapped, one scale for a
// matrix instead of one per row or group, a scale of zero that is divided by, a row's short end
// lost, blocks that begin again at each row.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include <kvlab/attention/synthetic.hpp>
#include <kvlab/quant/quantized_weights.hpp>
#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/half.hpp>

#include "models.hpp"
#include "quant_support.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

std::vector<std::unique_ptr<WeightCodec>> own_codecs() {
    std::vector<std::unique_ptr<WeightCodec>> codecs;
    codecs.push_back(make_int8_row_codec());
    for (const int bits : {2, 3, 4, 8}) codecs.push_back(make_rtn_codec(bits, 32));
    codecs.push_back(make_rtn_codec(4, 128));
    codecs.push_back(make_nf4_codec(false));
    codecs.push_back(make_nf4_codec(true));
    return codecs;
}

Tensor there_and_back(const WeightCodec& codec, const Tensor& w) {
    Tensor back(w.shape());
    codec.decode(codec.encode(w.view()), back.view());
    return back;
}

float f32_at(const std::vector<std::byte>& bytes, std::size_t at) {
    float x = 0;
    std::memcpy(&x, &bytes[at], sizeof x);
    return x;
}

}  // namespace

TEST_CASE("weights: NF4 bytes of a block by hand") {
    Tensor w({1, 64});
    w(0, 0) = -2.0f;  // the largest: level -1, code 0
    w(0, 1) = 2.0f;   // code 15
    w(0, 2) = 1.0f;   // 0.5: between 0.44070983 (12) and 0.562617 (13); nearer to 12
    w(0, 3) = -0.2f;  // -0.1: code 6
    const std::vector<std::byte> bytes = make_nf4_codec(false)->encode(w.view());
    REQUIRE(bytes.size() == 4 + 32);
    CHECK(f32_at(bytes, 0) == 2.0f);
    CHECK(bytes[4] == std::byte{0x0f});  // the first in the HIGH half
    CHECK(bytes[5] == std::byte{0xc6});
    for (std::size_t i = 6; i < bytes.size(); ++i) CHECK(bytes[i] == std::byte{0x77});
    const Tensor back = there_and_back(*make_nf4_codec(false), w);
    CHECK(back(0, 0) == -2.0f);
    CHECK(back(0, 1) == 2.0f);
    CHECK(back(0, 2) == 2.0f * 0.44070983f);
    CHECK(back(0, 3) == 2.0f * -0.091050036f);
    CHECK(back(0, 4) == 0.0f);
}

TEST_CASE("weights: a number halfway between two levels of NF4 takes the lower") {
    Tensor w({1, 64});
    w(0, 0) = 1.0f;
    const float halfway = (0.72295684f + 1.0f) / 2;
    w(0, 1) = halfway;
    w(0, 2) = std::nextafter(halfway, 2.0f);
    const Tensor back = there_and_back(*make_nf4_codec(false), w);
    CHECK(back(0, 1) == 0.72295684f);
    CHECK(back(0, 2) == 1.0f);
}

TEST_CASE("weights: NF4 blocks run on over the ends of rows and the last may be short") {
    const Tensor w = normal_matrix(3, 50, 61);
    Tensor flat({1, 150});
    std::copy(w.flat().begin(), w.flat().end(), flat.flat().begin());
    for (const bool twice : {false, true}) {
        const auto codec = make_nf4_codec(twice);
        CHECK(codec->bytes(3, 50) == (twice ? 4 + 4 + 3 : 3 * 4) + 75);
        CHECK(codec->encode(w.view()) == codec->encode(flat.view()));
    }
}

TEST_CASE("weights: bytes are those of the formulas") {
    for (const auto& codec : own_codecs())
        for (const Index K : {1, 31, 32, 33, 172, 256}) {
            CAPTURE(codec->name());
            CAPTURE(K);
            const auto bytes = codec->encode(normal_matrix(5, K, 62).view());
            CHECK(std::ssize(bytes) == codec->bytes(5, K));
        }
    CHECK(make_int8_row_codec()->bytes(64, 172) == 64 * (172 + 4));
    CHECK(make_rtn_codec(4, 32)->bytes(10, 128) == 10 * (4 * 4 + 64));
    CHECK(make_rtn_codec(3, 32)->bytes(1, 33) == 2 * 4 + 13);
    // 4 + 32/64 and 4 + 8/64 + 32/(64 * 256) bits a number, and one mean.
    CHECK(make_nf4_codec(false)->bytes(1024, 1024) * 8 == Index{1024} * 1024 * 9 / 2);
    CHECK(make_nf4_codec(true)->bytes(1024, 1024) ==
          Index{1024} * 1024 / 2 + 1024 * 16 + 1024 * 16 / 256 * 4 + 4);
}

TEST_CASE("weights: once coded stays as it is in NF4 and INT8") {
    Tensor w = normal_matrix(40, 96, 63);
    for (Index n = 0; n < 40; ++n) {
        const std::span<float> row = w.view()[n].flat();
        for (float& x : row) x *= std::ldexp(1.0f, static_cast<int>(n) - 20);
    }
    for (const auto& codec : {make_int8_row_codec(), make_nf4_codec(false)}) {
        const Tensor once = there_and_back(*codec, w);
        CHECK(!equal_bits(once, w));
        CHECK(equal_bits(there_and_back(*codec, once), once));
    }
}

TEST_CASE("weights: each row of INT8 and each group of RTN has a scale of its own") {
    // A row, or group, a thousand times as large must not change a bit of the others.
    Tensor w = normal_matrix(4, 128, 64);
    for (const auto& codec : own_codecs()) {
        if (codec->name() == "nf4-twice") continue;  // its magnitudes share a step
        CAPTURE(codec->name());
        const Tensor before = there_and_back(*codec, w);
        Tensor louder = w.clone();
        const std::span<float> loud_row = louder.view()[3].flat();
        for (float& x : loud_row) x *= 1000.0f;
        const Tensor after = there_and_back(*codec, louder);
        for (Index n = 0; n < 3; ++n)
            CHECK(compare_bits(before.view()[n].flat(), after.view()[n].flat()).differ == 0);
    }
    Tensor louder = w.clone();
    for (Index k = 96; k < 128; ++k) louder(0, k) *= 1000.0f;
    const auto rtn = make_rtn_codec(4, 32);
    const Tensor before = there_and_back(*rtn, w), after = there_and_back(*rtn, louder);
    for (Index k = 0; k < 96; ++k) CHECK(before(0, k) == after(0, k));
}

TEST_CASE("weights: no number is further off than half a step") {
    for (int round = 0; round < 50; ++round) {
        Tensor w = normal_matrix(4, 64, static_cast<std::uint64_t>(100 + round));
        for (float& x : w.flat()) x += 0.2f * static_cast<float>(round % 5);
        const Tensor int8 = there_and_back(*make_int8_row_codec(), w);
        for (const int bits : {2, 3, 4, 8}) {
            const Tensor rtn = there_and_back(*make_rtn_codec(bits, 32), w);
            for (Index n = 0; n < 4; ++n)
                for (Index k = 0; k < 64; ++k) {
                    double least = 0, most = 0, largest = 0;
                    for (Index i = 0; i < 64; ++i) {
                        const double x = static_cast<double>(w(n, i));
                        largest = std::max(largest, std::fabs(x));
                        if (i / 32 != k / 32) continue;
                        least = std::min(least, x);
                        most = std::max(most, x);
                    }
                    // f16 rounds a step by at most 2^-11 of it.
                    const double range = most - least,
                                 half = range * (0.5 / ((1 << bits) - 1) + 0x1p-10);
                    const double x = static_cast<double>(w(n, k));
                    REQUIRE(std::fabs(static_cast<double>(rtn(n, k)) - x) <= half);
                    REQUIRE(std::fabs(static_cast<double>(int8(n, k)) - x) <=
                            largest * (0.5 / 127 + 1e-6));
                }
        }
    }
}

TEST_CASE("weights: zeros and constants and tiny and huge numbers") {
    for (const auto& codec : own_codecs()) {
        CAPTURE(codec->name());
        const Tensor zeros({2, 64});
        CHECK(equal_bits(there_and_back(*codec, zeros), zeros));
        for (const float same :
             {0.75f, -0.3f, 1e-9f, -1e-30f, std::numeric_limits<float>::denorm_min()}) {
            Tensor w({2, 64});
            for (float& x : w.flat()) x = same;
            const Tensor back = there_and_back(*codec, w);
            // An f16 step that is 0 makes everything 0, and a float one nearly nothing.
            for (const float x : back.flat())
                CHECK(std::fabs(x - same) <= std::fabs(same) * 1.0f);
        }
        Tensor w = normal_matrix(1, 64, 65);
        for (const float wrong : {std::numeric_limits<float>::infinity(), std::nanf("")}) {
            w(0, 7) = wrong;
            CHECK_THROWS_WITH_AS(codec->encode(w.view()), doctest::Contains("finite"), Error);
        }
    }
    Tensor w = normal_matrix(1, 64, 66);
    w(0, 7) = 3e38f;
    CHECK_THROWS_WITH_AS(make_rtn_codec(4, 32)->encode(w.view()),
                         doctest::Contains("beyond f16"), Error);
    CHECK_THROWS_AS(make_rtn_codec(9, 32), Error);
    CHECK_THROWS_AS(make_rtn_codec(4, 0), Error);
}

TEST_CASE("weights: a wrong number of bytes is refused") {
    Tensor w({2, 64});
    for (const auto& codec : own_codecs()) {
        auto bytes = codec->encode(w.view());
        bytes.pop_back();
        CHECK_THROWS_WITH_AS(codec->decode(bytes, w.view()),
                             doctest::Contains(codec->name().c_str()), Error);
    }
}

TEST_CASE("weights: a model computes with the decoded numbers and lists what stays F32") {
    Config config = small_config();
    const auto weights = make_synthetic(config, 67);
    const auto q4 = make_type_codec(TensorType::q4_0);
    const QuantizedWeights typed = quantize_weights(*weights, *q4);
    Index numbers = 0, kept = 0, bytes = 0;
    for (const TensorInfo& info : weights->tensors()) {
        CAPTURE(info.name);
        const TensorInfo& now = typed.weights->tensor(info.name);
        if (info.shape.rank() < 2) {
            CHECK(now.bytes.data() == info.bytes.data());
            continue;
        }
        numbers += info.shape.size();
        const Tensor plain = to_f32(info);
        const bool fits = info.shape[1] % 32 == 0;
        kept += fits ? 0 : 1;
        CHECK(now.type == (fits ? TensorType::q4_0 : TensorType::f32));
        bytes += std::ssize(now.bytes);
        CHECK(equal_bits(to_f32(now), fits ? there_and_back(*q4, plain) : plain.clone()));
    }
    CHECK(typed.numbers == numbers);
    CHECK(typed.bytes == bytes);
    CHECK(std::ssize(typed.kept) == kept);

    // Every codec's model is that of its decoded numbers.
    for (const auto& codec : own_codecs()) {
        const QuantizedWeights own = quantize_weights(*weights, *codec);
        const TensorInfo& info = own.weights->tensor("blk.1.ffn_up.weight");
        CHECK(info.type == TensorType::f32);
        CHECK(
            equal_bits(to_f32(info),
                       there_and_back(*codec, to_f32(weights->tensor("blk.1.ffn_up.weight")))));
        CHECK(own.kept.empty());
    }
}
