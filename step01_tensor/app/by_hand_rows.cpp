// by_hand_rows.cpp - chapter 1: worked examples on rows of numbers: views, products, norms,
// softmax, a turning pair, a draw.
#include <array>
#include <iostream>
#include <span>
#include <utility>
#include <vector>

#include "app.hpp"
#include "by_hand.hpp"

#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/numerics.hpp>
#include <kvlab/tensor/rope.hpp>
#include <kvlab/tensor/sampling.hpp>

namespace kvlab::app {

namespace {

std::string cell(const char* format, float value) {
    return pad(written(format, value), 10, true);
}

void view_row(const std::string& what, const View<const float>& view, const float* begin) {
    std::string strides, numbers;
    for (Index axis = 0; axis < view.rank(); ++axis)
        strides += concat(axis ? ", " : "", view.stride(axis));
    const Index rows = view.rank() == 2 ? view.dim(0) : 1, columns = view.dim(view.rank() - 1);
    for (Index r = 0; r < rows; ++r) {
        numbers += r ? " |" : "";
        for (Index c = 0; c < columns; ++c)
            numbers += concat(" ", view.rank() == 2 ? view(r, c) : view(c));
    }
    std::cout << "  " << pad(what, 20) << pad(view.shape().to_string(), 8)
              << pad(concat("{", strides, "}"), 8) << pad(concat(view.data() - begin), 5, true)
              << "  " << numbers << "\n";
}

// The mean of the squares of what is left after the mean, by the short cut that needs one pass.
float one_pass(std::span<const float> x) {
    const auto n = static_cast<float>(x.size());
    const float mean = sum(x.data(), std::ssize(x)) / n;
    return dot(x.data(), x.data(), std::ssize(x)) / n - mean * mean;
}

}  // namespace

void by_hand_view() {
    Tensor t({3, 4});
    for (Index i = 0; float& number : t.flat()) number = static_cast<float>(i++);
    const View<const float> all = std::as_const(t).view();
    std::cout << "  view                shape   strides first  its numbers\n";
    view_row("t", all, t.data());
    view_row("t[1]", all[1], t.data());
    view_row("t.slice(1, 1, 3)", all.slice(1, 1, 3), t.data());
    view_row("t.transposed(0, 1)", all.transposed(0, 1), t.data());
}

void by_hand_product() {
    Tensor x({2, 3}), w({2, 3}), y({2, 2});
    for (Index i = 0; const float number : {1.0f, 2.0f, 3.0f, 0.5f, 0.0f, -1.0f})
        x.flat()[usize(i++)] = number;
    for (Index i = 0; const float number : {1.0f, 0.0f, -1.0f, 2.0f, 1.0f, 0.0f})
        w.flat()[usize(i++)] = number;
    matmul_plain(x.view(), w.view(), y.view());
    for (Index t = 0; t < 2; ++t)
        for (Index n = 0; n < 2; ++n)
            std::cout << "  y(" << t << ", " << n << ") = " << x(t, 0) << "*" << w(n, 0)
                      << " + " << x(t, 1) << "*" << w(n, 1) << " + " << x(t, 2) << "*"
                      << w(n, 2) << " = " << y(t, n) << "\n";
}

void by_hand_norm() {
    std::cout << "  x                           exactly  in one pass\n";
    for (const float middle : {4.0f, 1000.0f, 100000.0f}) {
        const std::array<float, 3> x = {middle - 2, middle, middle + 2};
        std::cout << "  " << pad(concat(x[0], " ", x[1], " ", x[2]), 24)
                  << pad(written("%.4f", 8.0f / 3.0f), 13, true)
                  << pad(written("%.4f", one_pass(x)), 13, true) << "\n";
    }
    const std::array<float, 3> x = {2, 4, 6}, weight = {1, 1, 1}, bias = {0, 0, 0};
    std::array<float, 3> y = {};
    layer_norm(x.data(), weight.data(), bias.data(), 0.0f, 3, y.data());
    std::cout << "  layer norm of 2 4 6: " << written("%.4f", y[0]) << " "
              << written("%.4f", y[1]) << " " << written("%.4f", y[2]) << "\n";
}

void by_hand_softmax() {
    const std::vector<float> scores = {3.4f, 1.5f, -2.0f};
    std::vector<float> weights(scores.size());
    const float sum = softmax_weights(scores, weights);
    std::cout << "     score         n         f   p = 2^f    weight     share\n";
    for (Index i = 0; const float score : scores) {
        const auto [p, n] = exp2_parts(score);
        const float weight = at(weights, i++);
        std::cout << cell("%.4g", score) << cell("%.0f", n) << cell("%.4f", score - n)
                  << cell("%.4f", p) << cell("%.5f", weight) << cell("%.4f", weight / sum)
                  << "\n";
    }
    std::cout << "  sum of the weights: " << written("%.5f", sum) << "\n";
    // A maximum that is found late: first the last two alone, then all three.
    std::vector<float> late(2);
    softmax_weights(std::span(scores).subspan(1), late);
    for (float& weight : late) weight *= pow2(2.0f - 3.0f);
    const Difference d = compare_bits(late, std::span(weights).subspan(1));
    std::cout << "  the last two first, with M = 2, then times 2^(2-3): " << d.differ << " of "
              << d.count << " differ\n";
}

void by_hand_turn() {
    const RopeTable table(3, 2, 10000.0);
    std::cout << "  position    cosine      sine   (1, 0) becomes         (3, 5) becomes\n";
    for (Index position = 0; position < 3; ++position) {
        std::array<float, 2> one = {1, 0}, other = {3, 5};
        table.rotate(one.data(), position);
        table.rotate(other.data(), position);
        std::cout << pad(concat(position), 10, true) << cell("%.4f", *table.cos(position))
                  << cell("%.4f", *table.sin(position)) << cell("%.4f", one[0])
                  << cell("%.4f", one[1]) << "  " << cell("%.4f", other[0])
                  << cell("%.4f", other[1]) << "\n";
    }
}

void by_hand_draw() {
    const std::vector<float> weights = {4, 2, 1, 1};
    std::cout << "  weights 4 2 1 1\n  top-p   random number   drawn\n";
    for (const float top_p : {1.0f, 0.6f})
        for (const float uniform : {0.1f, 0.5f, 0.7f, 0.9f})
            std::cout << pad(written("%g", top_p), 7, true)
                      << pad(written("%g", uniform), 16, true)
                      << pad(concat("number ", draw(weights, 8, top_p, uniform)), 12, true)
                      << "\n";
}

}  // namespace kvlab::app
