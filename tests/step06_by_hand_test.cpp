// Step 6: the numbers that the chapter works out on paper are those of its code.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <vector>

#include <kvlab/kvcache/narrow_tiles.hpp>
#include <kvlab/quant/coded_side.hpp>
#include <kvlab/quant/gptq.hpp>
#include <kvlab/quant/hadamard.hpp>
#include <kvlab/quant/int8_matrix.hpp>
#include <kvlab/quant/linear_algebra.hpp>
#include <kvlab/quant/packed_codes.hpp>
#include <kvlab/quant/smooth.hpp>
#include <kvlab/quant/weight_codec.hpp>
#include <kvlab/tensor/numerics.hpp>

using namespace kvlab;

namespace {

double rounded(double x, double unit) {
    return std::round(x * unit) / unit;
}

double wide(float x) {
    return static_cast<double>(x);
}

// What a group of 32, in which these numbers stand again and again, is read as.
struct Group {
    Group(Index bits, const std::vector<float>& numbers) {
        const Format format = bits == 2 ? &formats::kivi2 : &formats::kivi4;
        std::vector<float> all;
        while (all.size() < 32) all.insert(all.end(), numbers.begin(), numbers.end());
        std::uint8_t found[32];
        encode_group(bits, all.data(), 1, found, d, m);
        for (std::size_t i = 0; i < numbers.size(); ++i) {
            codes.push_back(found[i]);
            read.push_back(decode_number(format, found[i], d, m));
        }
    }

    float d = 0, m = 0;
    std::vector<int> codes;
    std::vector<float> read;
};

using Ints = std::vector<int>;
using Floats = std::vector<float>;

Tensor row_of(const Floats& numbers) {
    Tensor row({1, std::ssize(numbers)});
    std::copy(numbers.begin(), numbers.end(), row.flat().begin());
    return row;
}

Floats numbers_of(const Tensor& t) {
    return {t.flat().begin(), t.flat().end()};
}

}  // namespace

TEST_SUITE("step06") {
    TEST_CASE("by hand: eight values in four bits, in two, and beside a large one") {
        Floats x = {-1.25f, -0.8f, -0.1f, 0, 0.3f, 0.6f, 1.1f, 2.5f};
        const Group four(4, x), two(2, x);
        CHECK(four.d == 0.25f);
        CHECK(four.m == -1.25f);
        CHECK(four.codes == Ints{0, 2, 5, 5, 6, 7, 9, 15});
        CHECK(four.read == Floats{-1.25f, -0.75f, 0, 0, 0.25f, 0.5f, 1, 2.5f});
        CHECK(two.d == 1.25f);
        CHECK(two.codes == Ints{0, 0, 1, 1, 1, 1, 2, 3});
        CHECK(two.read == Floats{-1.25f, -1.25f, 0, 0, 0, 0, 1.25f, 2.5f});
        x.back() = 40;
        const Group spoiled(4, x);
        CHECK(spoiled.d == 2.75f);
        CHECK(spoiled.codes == Ints{0, 0, 0, 0, 1, 1, 1, 15});
        CHECK(spoiled.read == Floats{-1.25f, -1.25f, -1.25f, -1.25f, 1.5f, 1.5f, 1.5f, 40});
    }

    TEST_CASE("by hand: codes are taken from the minimum and the step that are kept") {
        const Group group(4, {100.02f, 100.04f, 100.5f, 100.92f});
        CHECK(group.m == 100.0f);
        CHECK(rounded(wide(group.d), 1e5) == 0.06);
        CHECK(group.codes == Ints{0, 1, 8, 15});
        CHECK(rounded(wide(group.read[1]), 1e3) == 100.06);
    }

    TEST_CASE("by hand: a large channel spoils tokens, and no other channel") {
        const float keys[4][4] = {
            {2, -1, 20, 0}, {0, 1, 23, 2}, {-1, 0, 21, 1}, {1, 2, 22, -1}};
        for (std::size_t i = 0; i < 4; ++i) {
            const Floats token(keys[i], keys[i] + 4),
                channel = {keys[0][i], keys[1][i], keys[2][i], keys[3][i]};
            CHECK(Group(2, channel).read == channel);
            const float least = *std::min_element(token.begin(), token.end());
            const Floats read = Group(2, token).read;
            CHECK(Floats{read[0], read[1], read[3]} == Floats(3, least));
        }
    }

    TEST_CASE("by hand: a turn spreads one large channel and keeps products") {
        std::array<float, 4> x = {8, 1, -1, 0}, q = {1, 2, 0, 1}, two = {8, 4, 0, 0};
        for (const std::span<float> row : {std::span<float>(x), {q}, {two}}) hadamard(row);
        CHECK(x == std::array<float, 4>{4, 3, 5, 4});
        CHECK(q == std::array<float, 4>{2, -1, 1, 0});
        CHECK(two == std::array<float, 4>{6, 2, 6, 2});
        CHECK(dot(x.data(), q.data(), 4) == 10.0f);
        const Group turned(2, {x.begin(), x.end()}), as_is(2, {8, 1, -1, 0});
        CHECK(as_is.read == Floats{8, 2, -1, -1});
        std::array<float, 4> back{};
        std::copy(turned.read.begin(), turned.read.end(), back.begin());
        hadamard(back);
        hadamard(x);
        CHECK(x == std::array<float, 4>{8, 1, -1, 0});
        double error = 0;
        for (std::size_t i = 0; i < 4; ++i) error += std::pow(wide(x[i]) - wide(back[i]), 2);
        CHECK(rounded(error, 100) == 0.22);
    }

    TEST_CASE("by hand: what a token sees of KIVI's keys and values") {
        const CodedSide::Options options{.format = &formats::kivi2, .residual = 32};
        const CodedSide keys(options, CodedTiles::Side::keys, 512, 1, 32, SimdLevel::portable),
            values(options, CodedTiles::Side::values, 512, 1, 32, SimdLevel::portable);
        const Index cases[][3] = {{0, 0, 0},    {31, 0, 0},   {32, 32, 0},  {40, 32, 8},
                                  {63, 32, 31}, {64, 64, 32}, {70, 64, 38}, {511, 480, 479}};
        for (const auto& [position, of_keys, of_values] : cases) {
            CHECK(keys.coded_until(position) == of_keys);
            CHECK(values.coded_until(position) == of_values);
            // 3 bits with the share of a scale and a minimum, 16 without.
            const Index all = position + 1,
                        bits = 3 * (of_keys + of_values) + 16 * (2 * all - of_keys - of_values);
            CHECK(8 * (keys.seen_bytes(position) + values.seen_bytes(position)) == 32 * bits);
        }
    }

    TEST_CASE("by hand: the word of a code, and its bits there") {
        const Index cases[][4] = {{5, 4, 5, 0},    {37, 4, 5, 8},   {127, 4, 15, 28},
                                  {128, 4, 16, 0}, {300, 4, 44, 8}, {37, 2, 5, 4},
                                  {300, 2, 28, 4}};
        for (const auto& [flat, bits, word, first] : cases) {
            std::array<std::uint32_t, 64> words{};
            set_packed_code(reinterpret_cast<std::byte*>(words.data()), bits, flat, 3);
            CHECK(words[usize(word)] == 3u << first);
            CHECK(std::count(words.begin(), words.end(), 0u) == 63);
        }
    }

    TEST_CASE("by hand: a sketch mends a product in the mean, and makes it noisy") {
        const std::array<float, 8> x = {3, 1, -1, -3, 2, 2, -2, -2};
        CodedRow coded;
        encode_row(&formats::turbo2, x, coded);
        double by_levels = 0, sum = 0;
        for (std::size_t i = 0; i < 8; ++i)
            by_levels += wide(x[i] * coded.d[0] * formats::turbo2.levels[coded.codes[i] & 1]);
        CHECK(rounded(by_levels, 100) == 27.08);
        CHECK(rounded(wide(coded.m[0]), 1e4) == 2.1809);
        const double first[] = {28.35, 47.81, 36.57};
        for (std::uint64_t seed = 1; seed <= 1000; ++seed) {
            const SignSketch sketch(8, seed);
            std::array<float, 8> read = x;
            round_trip(&formats::turbo2, read, &sketch);
            const double product = wide(dot(x.data(), read.data(), 8));
            if (seed <= 3) CHECK(rounded(product, 100) == first[seed - 1]);
            sum += product;
        }
        CHECK(sum / 1000 == doctest::Approx(36).epsilon(0.01));
    }

    TEST_CASE("by hand: four numbers in NF4") {
        const Tensor w = row_of({2, 0.3f, -0.5f, 0});
        const auto codec = make_nf4_codec(false);
        const std::vector<std::byte> bytes = codec->encode(w.view());
        Tensor read(w.shape());
        codec->decode(bytes, read.view());
        CHECK(numbers_of(read) == Floats{2, 2 * 0.1609302f, 2 * -0.28444138f, 0});
        CHECK(bytes.size() == 6);
        CHECK(bytes[4] == std::byte{0xf9});
        CHECK(bytes[5] == std::byte{0x47});
    }

    TEST_CASE("by hand: GPTQ of three columns") {
        constexpr Index K = 4;
        const std::vector<double> h = {2, 1, 0, 0, 1, 2, 2, 0, 0, 2, 4, 0, 0, 0, 0, 1};
        const double expected[] = {1, -1, 0.5, 0, 0, 1, -0.5, 0, 0, 0, 0.5, 0, 0, 0, 0, 1};
        const std::vector<double> u = cholesky_of_inverse(h, K);
        for (std::size_t i = 0; i < u.size(); ++i) CHECK(rounded(u[i], 1e12) == expected[i]);
        const Tensor w = row_of({1.3f, 1.6f, 0.6f, 3});
        const Tensor nearest = rtn_round(w.view(), 2, K),
                     gptq = gptq_round(w.view(), h, 2, K, 0);
        CHECK(numbers_of(nearest) == Floats{1, 2, 1, 3});
        CHECK(numbers_of(gptq) == Floats{1, 2, 0, 3});
        CHECK(rounded(product_error(w.view(), nearest.view(), h), 100) == 1.54);
        CHECK(rounded(product_error(w.view(), gptq.view(), h), 100) == 0.74);
        double least = 1e9;  // of all rows of whole numbers
        for (int i = 0; i < 64; ++i) {
            const Tensor q = row_of({static_cast<float>(i / 16), static_cast<float>(i / 4 % 4),
                                     static_cast<float>(i % 4), 3});
            least = std::min(least, product_error(w.view(), q.view(), h));
        }
        CHECK(rounded(least, 100) == 0.54);
        const Tensor best = row_of({2, 1, 1, 3});
        CHECK(product_error(w.view(), best.view(), h) == least);
    }

    TEST_CASE("by hand: AWQ scales a channel with large inputs up") {
        const Floats mean = {4, 1, 1, 0.25f};
        const Tensor w = row_of({0.75f, -1.2f, 0.4f, 2.6f});
        std::vector<double> h(16, 0.0);
        for (std::size_t i = 0; i < 4; ++i) h[i * 5] = wide(mean[i] * mean[i]);
        const std::pair<double, double> cases[] = {
            {0.0, 0.720}, {0.25, 0.309}, {0.5, 0.015}, {0.75, 0.156}};
        for (const auto& [alpha, expected] : cases) {
            const Tensor q = scaled_round(w.view(), awq_scales(mean, alpha), 3, 4);
            CHECK(rounded(product_error(w.view(), q.view(), h), 1e3) == expected);
        }
        CHECK(awq_scales(mean, 0.5) == Floats{2, 1, 1, 0.5f});
    }

    TEST_CASE("by hand: bytes times bytes, with an outlier and without") {
        const Tensor w = row_of({0.5f, 1.27f, -0.25f}), x = row_of({3, -1, 40});
        const TensorInfo info{"w", TensorType::f32, w.shape(), std::as_bytes(w.flat())};
        const TensorInfo* const parts[] = {&info};
        ThreadPool pool(1);
        const Int8Matrix matrix(parts, pool);
        CHECK(Ints{matrix.code(0, 0), matrix.code(0, 1), matrix.code(0, 2)} ==
              Ints{50, 127, -25});
        const std::array<float, 3> rest = {3, -1, 0};
        std::int8_t all_codes[3], codes[3];
        const float scale = quantize_int8(x.data(), 1, 3, all_codes, 1),
                    finer = quantize_int8(rest.data(), 1, 3, codes, 1);
        CHECK(Ints{all_codes[0], all_codes[1], all_codes[2]} == Ints{10, -3, 127});
        CHECK(Ints{codes[0], codes[1], codes[2]} == Ints{127, -42, 0});
        Tensor y({1, 1}), with({1, 1});
        int8_linear_plain(matrix, x.view(), 0, y.view());
        int8_linear_plain(matrix, x.view(), 6, with.view());
        CHECK(y(0, 0) == scale * matrix.scale(0) * -3056.0f);
        CHECK(with(0, 0) ==
              finer * matrix.scale(0) * 1016.0f + matrix.scale(0) * (40.0f * -25.0f));
        CHECK(rounded(wide(y(0, 0)), 1e4) == -9.6252);
        CHECK(rounded(wide(with(0, 0)), 1e4) == -9.76);
    }

    TEST_CASE("by hand: SmoothQuant's scale moves from one side to the other") {
        const std::pair<double, std::array<int, 4>> cases[] = {
            {0.0, {16, 1, 127, 8}}, {0.5, {4, 4, 127, 32}}, {1.0, {1, 16, 127, 127}}};
        for (const auto& [alpha, expected] : cases) {
            SmoothOptions options;
            options.alpha = alpha;
            const float s = smoothing_scale(40, 0.4f, options);
            CHECK(smoothing_scale(1, 1, options) == 1.0f);
            const float inputs[] = {40 / s, 1};
            CHECK(rounded(wide(inputs[0]), 1e4) == expected[0]);
            CHECK(rounded(wide(0.4f * s), 1e4) == expected[1]);
            std::int8_t codes[2];
            quantize_int8(inputs, 1, 2, codes, 1);
            CHECK(codes[0] == expected[2]);
            CHECK(codes[1] == expected[3]);
        }
    }

    TEST_CASE("by hand: the direction of three keys, and that of the matrix alone") {
        const LeftSvd of_keys = left_svd({8, 1, -7, 6, 7, 1}, 2, 3),
                      of_w = left_svd({1, 0, 0, 2}, 2, 2);
        CHECK(rounded(std::fabs(of_keys.u[0]), 1e9) == 0.8);
        CHECK(rounded(std::fabs(of_keys.u[2]), 1e9) == 0.6);
        CHECK(rounded(of_keys.values[0] * of_keys.values[0], 1e9) == 150);
        CHECK(rounded(of_keys.values[1] * of_keys.values[1], 1e9) == 50);
        CHECK(of_w.values == std::vector<double>{2, 1});
        CHECK(of_w.u[0] == 0.0);
        CHECK(8 * 8 + 1 * 1 + 7 * 7 == 114);  // what leaving out the other one costs
    }
}
