// Step 2: the numbers that the chapter works out on paper are those of its code.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <vector>

#include <kvlab/attention/attention.hpp>
#include <kvlab/attention/config.hpp>
#include <kvlab/attention/cost.hpp>
#include <kvlab/attention/score.hpp>
#include <kvlab/tensor/numerics.hpp>
#include <kvlab/tensor/rope.hpp>
#include <kvlab/tensor/sampling.hpp>
#include <kvlab/weights/bpe_tokenizer.hpp>

using namespace kvlab;

namespace {

// As the chapter rounds them.
double rounded(double x, int digits) {
    const double unit = std::pow(10.0, digits);
    return std::round(x * unit) / unit;
}

double rounded(float x, int digits) {
    return rounded(static_cast<double>(x), digits);
}

Tensor matrix(const Shape& shape, std::initializer_list<float> numbers) {
    Tensor t(shape);
    std::copy(numbers.begin(), numbers.end(), t.flat().begin());
    return t;
}

std::vector<float> product(const Tensor& x, const Tensor& w) {
    Tensor y({x.dim(0), w.dim(0)});
    matmul_plain(x.view(), w.view(), y.view());
    return {y.flat().begin(), y.flat().end()};
}

}  // namespace

TEST_SUITE_BEGIN("step02");

TEST_CASE("by hand: low er") {
    TokenizerData data;
    data.model = "gpt2";
    data.tokens = {"l", "o", "w", "e", "r", "lo", "low", "er"};
    data.merges = {"l o", "lo w", "e r"};
    const std::vector<std::vector<Token>> expected = {
        {0, 1, 2, 3, 4}, {5, 2, 3, 4}, {6, 3, 4}, {6, 7}};
    CHECK(BpeTokenizer(data).merge_steps("lower") == expected);
}

TEST_CASE("by hand: one head from x to what is added to x") {
    const Tensor x = matrix({2, 2}, {1, 0, 1, 1});
    const std::vector<float> q = product(x, matrix({2, 2}, {1, 1, 0, 1})),
                             k = product(x, matrix({2, 2}, {0, 1, 1, 0})),
                             v = product(x, matrix({2, 2}, {4, -4, 0, 4}));
    CHECK(q == std::vector<float>{1, 0, 2, 1});
    CHECK(k == std::vector<float>{0, 1, 1, 1});
    CHECK(v == std::vector<float>{4, 0, 0, 4});
    CHECK(dot(&q[2], &k[0], 2) == 1.0f);
    CHECK(dot(&q[2], &k[2], 2) == 3.0f);
    const float scale = log2e_over(std::sqrt(2.0));
    const float query[] = {q[2] * scale, q[3] * scale};
    const float scores[] = {dot(query, &k[0], 2), dot(query, &k[2], 2)};
    CHECK(rounded(scores[0], 3) == 1.020);
    CHECK(rounded(scores[1], 3) == 3.060);
    CHECK(rounded(std::exp(1 / std::sqrt(2.0)), 3) == 2.028);
    CHECK(rounded(std::exp(3 / std::sqrt(2.0)), 3) == 8.342);
    float weights[2];
    const float total = softmax_weights(scores, weights);
    CHECK(rounded(weights[0], 3) == 0.254);
    CHECK(rounded(weights[1], 3) == 1.043);
    CHECK(rounded(weights[0] / total, 3) == 0.196);
    CHECK(rounded(weights[1] / total, 3) == 0.804);
    float out[2];
    attention_plain(View<const float>(query, {2}), View<const float>(k.data(), {2, 2}),
                    View<const float>(v.data(), {2, 2}), View<float>(out, {2}));
    CHECK(out[0] == 4 * weights[0] / total);  // v0 = (4, 0) and v1 = (0, 4): exact
    CHECK(out[1] == 4 * weights[1] / total);
    CHECK(rounded(out[0], 3) == 0.782);
    CHECK(rounded(out[1], 3) == 3.218);
    CHECK(rounded(1 + out[0] / 2, 3) == 1.391);
    CHECK(rounded(1 + out[1] / 2, 3) == 2.609);
}

TEST_CASE("by hand: without positions two tokens may change places, with RoPE they may not") {
    const auto taken = [](std::vector<float> k, const std::vector<float>& v, bool turned) {
        float q[] = {2, 1};
        if (turned) {
            const RopeTable table(3, 2, 10000.0);
            table.rotate(&k[0], 0);
            table.rotate(&k[2], 1);
            table.rotate(q, 2);
        }
        for (float& number : q) number = number * log2e_over(std::sqrt(2.0));
        std::vector<float> out(2);
        attention_plain(View<const float>(q, {2}), View<const float>(k.data(), {2, 2}),
                        View<const float>(v.data(), {2, 2}), View<float>(out.data(), {2}));
        return out;
    };
    CHECK(taken({0, 1, 1, 1}, {4, 0, 0, 4}, false) == taken({1, 1, 0, 1}, {0, 4, 4, 0}, false));
    const std::vector<float> one = taken({0, 1, 1, 1}, {4, 0, 0, 4}, true),
                             other = taken({1, 1, 0, 1}, {0, 4, 4, 0}, true);
    CHECK(rounded(one[0], 3) == 1.284);
    CHECK(rounded(one[1], 3) == 2.716);
    CHECK(rounded(other[0], 3) == 3.438);
    CHECK(rounded(other[1], 3) == 0.562);
}

TEST_CASE("by hand: a score depends on the distance, but for its last bit") {
    const RopeTable table(512, 2, 10000.0);
    const auto score = [&](Index at_q, Index at_k) {
        float q[] = {2, 1}, k[] = {1, 1};
        table.rotate(q, at_q);
        table.rotate(k, at_k);
        return dot(q, k, 2);
    };
    CHECK(score(0, 0) == 3.0f);
    CHECK(score(1, 0) == 2.462377787f);
    CHECK(score(5, 4) == 2.462378025f);
    CHECK(score(500, 499) == 2.462378025f);
    CHECK(std::nextafter(score(1, 0), 3.0f) == score(5, 4));
    CHECK(rounded(3 * std::cos(1.0) + std::sin(1.0), 6) ==
          2.462378);  // exactly, without floats
    CHECK(rounded(score(1, 0), 6) == 2.462378);
    CHECK(rounded(score(5, 4), 6) == 2.462378);
    CHECK(score(3, 0) == -2.828857422f);
    CHECK(score(5, 2) == -2.828857422f);
    float q[] = {2, 1};
    table.rotate(q, 1);
    CHECK(rounded(q[0], 3) == 0.239);
    CHECK(rounded(q[1], 3) == 2.223);
}

TEST_CASE("by hand: a norm and four gates") {
    const float x[] = {3, 4}, ones[] = {1, 1};
    float y[2];
    rms_norm(x, ones, 0, 2, y);
    CHECK(rounded(y[0], 3) == 0.849);
    CHECK(rounded(y[1], 3) == 1.131);
    const float gates[] = {4, 1, -1, -4};
    const double opened[] = {3.93, 0.73, -0.27, -0.07}, on[] = {1.96, 0.37, -0.13, -0.04};
    for (int i = 0; i < 4; ++i) {
        CHECK(rounded(silu(gates[i]), 2) == opened[i]);
        CHECK(rounded(silu(gates[i]) * 0.5f, 2) == on[i]);
    }
}

TEST_CASE("by hand: three logits, what is drawn and how it surprises") {
    const float logits[] = {1, 3, 0};
    CHECK(argmax(logits) == 1);
    float scores[3], weights[3];
    for (int i = 0; i < 3; ++i) scores[i] = logits[i] * log2e_over(1.0);
    const float total = softmax_weights(scores, weights);
    const double shares[] = {0.114, 0.844, 0.042}, bits[] = {3.13, 0.25, 4.57};
    const float uniform[] = {0.05f, 0.5f, 0.97f};
    for (int i = 0; i < 3; ++i) {
        CHECK(rounded(weights[i] / total, 3) == shares[i]);
        CHECK(rounded(surprise_bits(logits, i), 2) == bits[i]);
        CHECK(draw(weights, total, 1, uniform[i]) == i);
    }
    CHECK(rounded(log_sum_exp(logits), 2) == 3.17);
}

TEST_CASE("by hand: what a token costs tiny") {
    const Config tiny;
    CHECK(step_flops(tiny, 0, 60).total() == 11'844'608);
    CHECK(step_flops(tiny, 0, 60).projections == 2'949'120);
    const Flops even = step_flops(tiny, 0, 707);
    CHECK(even.projections + even.ffn == even.attention);
    // SmolLM2's layers: where attention takes as much, T + 1 = m / (Hq D).
    CHECK((9 + 2 * 3) * 64 * 576 + 576 * 9 * 64 + 3 * 1536 * 576 == 3'538'944);
    CHECK(3'538'944 / (9 * 64) == 6143 + 1);
    // What even attention puts on position 0, mean of the positions that `score` looks at.
    double sum = 0;
    for (int t = 64; t < 512; ++t) sum += 1.0 / (t + 1);
    CHECK(rounded(sum / (512 - 64), 4) == 0.0046);
}

TEST_SUITE_END();
