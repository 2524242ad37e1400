// Step 6: GPTQ and AWQ. Mistakes in mind: errors that are not carried on, a triangle the wrong
// way round, dead channels, scales that are not taken back, matrices that nobody asked for.
#include <doctest/doctest.h>

#include <algorithm>

#include <kvlab/attention/synthetic.hpp>
#include <kvlab/quant/calibration.hpp>
#include <kvlab/quant/gptq.hpp>
#include <kvlab/quant/quantized_weights.hpp>
#include <kvlab/quant/smooth.hpp>

#include "models.hpp"
#include "quant_support.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

// X^T X of random rows whose channels move together and have different sizes.
std::vector<double> gram_of(Index K, std::uint64_t seed) {
    Rng rng(seed);
    std::vector<double> gram(usize(K * K)), x(usize(K));
    for (int row = 0; row < 300; ++row) {
        const double common = static_cast<double>(rng.normal());
        for (std::size_t k = 0; k < x.size(); ++k)
            x[k] = (static_cast<double>(rng.normal()) + 2 * common) * (k % 7 == 3 ? 10 : 1);
        for (std::size_t i = 0; i < x.size(); ++i)
            for (std::size_t j = 0; j < x.size(); ++j) gram[i * x.size() + j] += x[i] * x[j];
    }
    return gram;
}

}  // namespace

TEST_CASE("gptq: U is the upper triangle whose square is the inverse of H") {
    const Index K = 20;
    std::vector<double> h = gram_of(K, 68);
    const std::vector<double> u = cholesky_of_inverse(h, K);
    for (Index i = 0; i < K; ++i)
        for (Index j = 0; j < K; ++j) {
            if (j < i) REQUIRE(at(u, i * K + j) == 0);
            double product = 0;  // (U^T U) H
            for (Index k = 0; k < K; ++k)
                for (Index m = 0; m < K; ++m)
                    product += at(u, k * K + i) * at(u, k * K + m) * at(h, m * K + j);
            CHECK(product == doctest::Approx(i == j ? 1 : 0).epsilon(1e-8).scale(1));
        }
    h[0] = -1;
    CHECK_THROWS_WITH_AS(cholesky_of_inverse(h, K), doctest::Contains("positive definite"),
                         Error);
}

TEST_CASE("gptq: channels that do not move together are rounded to nearest") {
    // H a multiple of I: nothing can make up for an error.
    const Tensor w = normal_matrix(6, 200, 69);
    std::vector<double> gram(200 * 200);
    for (std::size_t k = 0; k < 200; ++k) gram[k * 201] = 3.0;
    for (const Index group : {32, 128})
        CHECK(equal_bits(gptq_round(w.view(), gram, 4, group, 0.01),
                         rtn_round(w.view(), 4, group)));
}

TEST_CASE("gptq: the product's error is smaller than that of rounding to nearest") {
    double gptq = 0, rtn = 0;
    for (std::uint64_t seed = 70; seed < 74; ++seed) {
        const Tensor w = normal_matrix(8, 160, seed);
        const std::vector<double> gram = gram_of(160, seed);
        for (const int bits : {2, 3, 4}) {
            const double one = product_error(
                w.view(), gptq_round(w.view(), gram, bits, 32, 0.01).view(), gram);
            const double other =
                product_error(w.view(), rtn_round(w.view(), bits, 32).view(), gram);
            CHECK(one < other);
            gptq += one;
            rtn += other;
        }
    }
    CHECK(gptq < 0.5 * rtn);
}

TEST_CASE("gptq: an error is made up for by a channel in a later block of columns") {
    // Channels 0 and 200 nearly always move together, all others alone. Only the group that
    // holds channel 200 may change, and it has to.
    const Index N = 32, K = 256;
    const Tensor w = normal_matrix(N, K, 81);
    std::vector<double> gram(K * K);
    for (std::size_t k = 0; k < K; ++k) gram[k * K + k] = 100;
    gram[200] = gram[200 * K] = 99;
    const Tensor rtn = rtn_round(w.view(), 4, 32);
    const Tensor gptq = gptq_round(w.view(), gram, 4, 32, 1e-6);
    Index changed = 0;
    for (Index n = 0; n < N; ++n)
        for (Index k = 0; k < K; ++k)
            if (k / 32 != 200 / 32)
                REQUIRE(gptq(n, k) == rtn(n, k));
            else
                changed += gptq(n, k) != rtn(n, k);
    CHECK(changed > 0);
    CHECK(product_error(w.view(), gptq.view(), gram) <
          product_error(w.view(), rtn.view(), gram));
}

TEST_CASE("gptq: a channel that is always 0 costs nothing and becomes 0") {
    const Tensor w = normal_matrix(3, 64, 75);
    std::vector<double> gram = gram_of(64, 75);
    for (std::size_t k = 0; k < 64; ++k) gram[5 * 64 + k] = gram[k * 64 + 5] = 0;
    const Tensor q = gptq_round(w.view(), gram, 4, 32, 0.01);
    for (Index n = 0; n < 3; ++n) CHECK(q(n, 5) == 0.0f);
}

TEST_CASE("awq: power 0 is rounding to nearest and scales are taken back") {
    const Tensor w = normal_matrix(5, 96, 76);
    const std::vector<float> mean = {1, 2, 4};
    std::vector<float> means(96);
    for (std::size_t k = 0; k < 96; ++k) means[k] = mean[k % 3];
    const std::vector<float> none = awq_scales(means, 0);
    for (const float s : none) CHECK(s == 1.0f);
    CHECK(equal_bits(scaled_round(w.view(), none, 4, 32), rtn_round(w.view(), 4, 32)));
    const std::vector<float> half = awq_scales(means, 0.5);
    CHECK(half[2] / half[0] == doctest::Approx(2.0));
    CHECK(half[0] * half[2] == doctest::Approx(1.0));
    // With 8 bits, what comes back is the matrix itself, so the scale has been divided out.
    const Tensor q = scaled_round(w.view(), half, 8, 32);
    for (Index n = 0; n < 5; ++n)
        for (Index k = 0; k < 96; ++k)
            CHECK(static_cast<double>(q(n, k)) ==
                  doctest::Approx(static_cast<double>(w(n, k))).epsilon(0.05).scale(1));
}

TEST_CASE("awq: a group is cut off only where that makes its products better") {
    const Index N = 12, K = 96, group = 32;
    const Tensor w = normal_matrix(N, K, 83);
    const std::vector<double> gram = gram_of(K, 83);
    std::vector<float> scales(usize(K));
    for (std::size_t k = 0; k < scales.size(); ++k) scales[k] = k % 2 == 0 ? 0.5f : 2.0f;
    for (const int bits : {2, 3, 4}) {
        CAPTURE(bits);
        const Tensor plain = scaled_round(w.view(), scales, bits, group);
        const Tensor cut = clipped_round(w.view(), scales, gram, bits, group);
        Index changed = 0;
        for (Index n = 0; n < N; ++n)
            for (Index first = 0; first < K; first += group) {
                const auto error = [&](const Tensor& q) {
                    double sum = 0;
                    for (Index i = first; i < first + group; ++i)
                        for (Index j = first; j < first + group; ++j)
                            sum +=
                                (static_cast<double>(w(n, i)) - static_cast<double>(q(n, i))) *
                                at(gram, i * K + j) *
                                (static_cast<double>(w(n, j)) - static_cast<double>(q(n, j)));
                    return sum;
                };
                Index other = 0;
                for (Index i = first; i < first + group; ++i) other += cut(n, i) != plain(n, i);
                changed += other > 0;
                // 1e-12: sums in another order. A share of 1 is one of those tried.
                if (other > 0) CHECK(error(cut) < error(plain) * (1 + 1e-12));
            }
        CHECK(changed > 0);
        CHECK(changed < N * K / group);
    }
}

TEST_CASE("awq: one large weight of a silent channel is cut off as far as the search goes") {
    // Channel 5 is always 0, so its weight may become anything: half of the range is won.
    Tensor w = normal_matrix(2, 32, 84);
    for (float& x : w.flat()) x = std::clamp(x, -1.0f, 1.0f);
    w(0, 5) = 4.0f;
    std::vector<double> gram(32 * 32);
    for (std::size_t k = 0; k < 32; ++k) gram[k * 33] = k == 5 ? 0 : 1;
    const std::vector<float> ones(32, 1.0f);
    const Tensor cut = clipped_round(w.view(), ones, gram, 4, 32);
    CHECK(cut(0, 5) == doctest::Approx(2.0).epsilon(0.05));
    const auto error = [&](const Tensor& q) {
        return product_error(w.view().slice(0, 0, 1), q.view().slice(0, 0, 1), gram);
    };
    CHECK(error(cut) < 0.5 * error(rtn_round(w.view(), 4, 32)));
    // Nothing to win: a silent input leaves all errors 0, and the first of equals stays.
    const std::vector<double> silent(32 * 32, 0.0);
    CHECK(equal_bits(clipped_round(w.view(), ones, silent, 4, 32), rtn_round(w.view(), 4, 32)));
    w(1, 3) = std::numeric_limits<float>::quiet_NaN();
    CHECK_THROWS_WITH_AS(clipped_round(w.view(), ones, gram, 4, 32), doctest::Contains("row 1"),
                         Error);
    CHECK_THROWS_WITH_AS(clipped_round(w.view(), ones, std::span(gram).first(9), 4, 32),
                         doctest::Contains("9 products"), Error);
}

TEST_CASE("awq: queries and keys are not cut off and everything else is") {
    const Config config = small_config();
    const auto weights = make_synthetic(config, 85);
    const TextWindows text(random_tokens(150, config.vocab, 86), kNoToken, 50);
    const QuantizedWeights with = awq_weights(*weights, text, {3, 16, 0.01});
    const QuantizedWeights without = awq_weights(*weights, text, {3, 16, 0.01, false});
    for (const TensorInfo& info : weights->tensors()) {
        const bool layer = info.name.rfind("blk.", 0) == 0 && info.shape.rank() >= 2;
        const bool scores = info.name.find("attn_q.") != std::string::npos ||
                            info.name.find("attn_k.") != std::string::npos;
        CAPTURE(info.name);
        CHECK(equal_bits(to_f32(with.weights->tensor(info.name)),
                         to_f32(without.weights->tensor(info.name))) == (!layer || scores));
    }
    CHECK(with.bytes == without.bytes);
}

TEST_CASE("gptq and awq: whole models keep their shapes and bytes and move only matrices") {
    Config config = small_config();
    const auto weights = make_synthetic(config, 77);
    Rng rng(78);
    std::vector<Token> tokens;
    for (int i = 0; i < 120; ++i)
        tokens.push_back(
            static_cast<Token>(rng.below(static_cast<std::uint64_t>(config.vocab))));
    const TextWindows text(tokens, kNoToken, 50);
    const CalibratedOptions options{4, 16, 0.01, false, Rounded::all};
    const auto codec = make_rtn_codec(4, 16);
    const QuantizedWeights rtn = quantize_weights(*weights, *codec);
    const QuantizedWeights gptq = gptq_weights(*weights, text, options);
    const QuantizedWeights awq = awq_weights(*weights, text, options);
    for (const QuantizedWeights* one : {&gptq, &awq}) {
        CHECK(one->bytes == rtn.bytes);
        CHECK(one->numbers == rtn.numbers);
        for (const TensorInfo& info : weights->tensors())
            if (info.shape.rank() < 2)
                CHECK(one->weights->tensor(info.name).bytes.data() == info.bytes.data());
            else
                CHECK(!equal_bits(to_f32(one->weights->tensor(info.name)), to_f32(info)));
    }
    CHECK(equal_bits(to_f32(gptq.weights->tensor("token_embd.weight")),
                     to_f32(rtn.weights->tensor("token_embd.weight"))));
    // attn_output's scales have nowhere to go where queries share keys.
    const std::string out = "blk.0.attn_output.weight";
    CHECK(equal_bits(to_f32(awq.weights->tensor(out)), to_f32(rtn.weights->tensor(out))) ==
          (config.heads != config.kv_heads));
}

TEST_CASE("gptq and awq: the first products are nearer to the model than rounding to nearest") {
    // Their input is the plain model's, so what was minimised can be computed again.
    Config config = small_config();
    const auto plain = make_synthetic(config, 79);
    Rng rng(80);
    std::vector<Token> tokens;
    for (int i = 0; i < 200; ++i)
        tokens.push_back(
            static_cast<Token>(rng.below(static_cast<std::uint64_t>(config.vocab))));
    const TextWindows text(tokens, kNoToken, 60);
    const CalibratedOptions options{3, 16, 0.01, false};
    for (const float factor : {1.0f, 20.0f}) {
        EditedWeights base(*plain);
        if (factor != 1) inject_outlier(base, 3, factor);
        CalibrationOptions wants;
        wants.gram = [](const std::string& name) { return name == "blk.0.attn_q.weight"; };
        const Calibration seen = calibrate(base, text, wants);
        const InputStatistics& input = seen.of("blk.0.attn_q.weight");
        REQUIRE(input.tensors.size() == 3);
        const auto error = [&](const QuantizedWeights& quantized) {
            double sum = 0;
            for (const std::string& name : input.tensors)
                sum +=
                    product_error(to_f32(base.tensor(name)).view(),
                                  to_f32(quantized.weights->tensor(name)).view(), input.gram);
            return sum;
        };
        const double rtn = error(quantize_weights(base, *make_rtn_codec(3, 16)));
        const double awq = error(awq_weights(base, text, options));
        CAPTURE(factor);
        CHECK(error(gptq_weights(base, text, options)) < rtn);
        CHECK(awq <= rtn);  // power 0 is one of those tried
        if (factor != 1) CHECK(awq < 0.7 * rtn);
    }
}
