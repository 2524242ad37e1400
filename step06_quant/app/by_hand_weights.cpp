// by_hand_weights.cpp - chapter 6: the examples about weights and products that the chapter
// works out on paper, by the code that it teaches.
#include "by_hand.hpp"

#include <array>
#include <vector>

#include <kvlab/kvcache/narrow_tiles.hpp>
#include <kvlab/quant/gptq.hpp>
#include <kvlab/quant/int8_matrix.hpp>
#include <kvlab/quant/linear_algebra.hpp>
#include <kvlab/quant/smooth.hpp>
#include <kvlab/quant/weight_codec.hpp>

namespace kvlab::app {

namespace {

Tensor row_of(const std::vector<float>& numbers) {
    Tensor row({1, std::ssize(numbers)});
    std::copy(numbers.begin(), numbers.end(), row.flat().begin());
    return row;
}

void print_square(const char* name, const std::vector<double>& numbers, Index n, Index shown) {
    for (Index i = 0; i < shown; ++i) {
        std::printf("  %-8s", i == 0 ? name : "");
        for (Index j = 0; j < shown; ++j) std::printf("%6g", tidy(at(numbers, i * n + j)));
        std::printf("\n");
    }
}

}  // namespace

void by_hand_nf4() {
    const Tensor w = row_of({2, 0.3f, -0.5f, 0});
    const auto codec = make_nf4_codec(false);
    const std::vector<std::byte> bytes = codec->encode(w.view());
    Tensor read(w.shape());
    codec->decode(bytes, read.view());
    std::printf("  number   of the largest   read as\n");
    for (Index i = 0; i < w.size(); ++i)
        std::printf("  %6g   %14g   %8.4f\n", wide(w.data()[i]), wide(w.data()[i] / 2),
                    wide(read.data()[i]));
    std::printf("  bytes of the codes: 0x%02X 0x%02X\n", std::to_integer<unsigned>(bytes[4]),
                std::to_integer<unsigned>(bytes[5]));
}

// Three inputs, and a fourth channel that moves with no other and is there for the grid alone:
// with a weight of 3 and codes of 2 bits its steps are 1.
void by_hand_gptq() {
    constexpr Index K = 4;
    const float inputs[4][K] = {{1, 0, 0, 0}, {1, 1, 0, 0}, {0, 1, 2, 0}, {0, 0, 0, 1}};
    std::vector<double> gram(usize(K * K), 0.0);
    for (const auto& x : inputs)
        for (Index i = 0; i < K; ++i)
            for (Index j = 0; j < K; ++j)
                at(gram, i * K + j) += wide(at(x, i)) * wide(at(x, j));
    const std::vector<double> u = cholesky_of_inverse(gram, K);
    std::vector<double> inverse(usize(K * K), 0.0);
    for (Index k = 0; k < K; ++k)
        for (Index i = 0; i < K; ++i)
            for (Index j = 0; j < K; ++j)
                at(inverse, i * K + j) += at(u, k * K + i) * at(u, k * K + j);
    print_square("H", gram, K, 3);
    print_square("inverse", inverse, K, 3);
    print_square("U", u, K, 3);
    const Tensor w = row_of({1.3f, 1.6f, 0.6f, 3});
    const Tensor nearest = rtn_round(w.view(), 2, K),
                 gptq = gptq_round(w.view(), gram, 2, K, 0), best = row_of({2, 1, 1, 3});
    std::printf(
        "  weights                      1.3   1.6   0.6   squared error of the product\n");
    for (const auto& [name, q] : {std::pair("rounded to nearest", &nearest),
                                  {"GPTQ", &gptq},
                                  {"the best there is", &best}}) {
        std::printf("  %-20s", name);
        for (Index k = 0; k < 3; ++k) std::printf("%6g", wide((*q)(0, k)));
        std::printf("   %.2f\n", product_error(w.view(), q->view(), gram));
    }
}

void by_hand_awq() {
    const std::vector<float> mean = {4, 1, 1, 0.25f};
    const Tensor w = row_of({0.75f, -1.2f, 0.4f, 2.6f});
    std::vector<double> gram(16, 0.0);
    for (std::size_t i = 0; i < 4; ++i) gram[i * 5] = wide(mean[i] * mean[i]);
    print_row("mean |x|", mean);
    print_row("w", w.flat());
    for (const double alpha : {0.0, 0.25, 0.5, 0.75}) {
        const std::vector<float> s = awq_scales(mean, alpha);
        const Tensor q = scaled_round(w.view(), s, 3, 4);
        std::printf("  alpha %g\n", alpha);
        print_row("  s", s);
        print_row("  read as", q.flat());
        std::printf("    squared error of the product %.3f\n",
                    product_error(w.view(), q.view(), gram));
    }
}

void by_hand_int8() {
    const Tensor w = row_of({0.5f, 1.27f, -0.25f}), x = row_of({3, -1, 40});
    const TensorInfo info{"w", TensorType::f32, w.shape(), std::as_bytes(w.flat())};
    const TensorInfo* const parts[] = {&info};
    ThreadPool pool(1);
    const Int8Matrix matrix(parts, pool);
    std::printf("  weights    0.5  1.27 -0.25   scale %.4f   codes %d %d %d\n",
                wide(matrix.scale(0)), matrix.code(0, 0), matrix.code(0, 1), matrix.code(0, 2));
    for (const float threshold : {0.0f, 6.0f}) {
        Tensor rest = row_of({3, -1, threshold > 0 ? 0.0f : 40.0f}), y({1, 1});
        std::int8_t codes[3];
        const float scale = quantize_int8(rest.data(), 1, 3, codes, 1);
        int sum = 0;
        for (Index k = 0; k < 3; ++k) sum += at(codes, k) * matrix.code(0, k);
        int8_linear_plain(matrix, x.view(), threshold, y.view());
        std::printf("  threshold %g: scale of x %.4f   codes %d %d %d   sum %d   y = %.4f\n",
                    wide(threshold), wide(scale), codes[0], codes[1], codes[2], sum,
                    wide(y(0, 0)));
    }
    std::printf("  in floats: y = %.4f\n", 3 * 0.5 - 1 * 1.27 - 40 * 0.25);
}

void by_hand_smooth() {
    const std::vector<float> x = {40, 1}, w = {0.4f, 1};
    std::printf(
        "  alpha   s of channel 0   inputs / s      weights * s     codes of the inputs\n");
    for (const double alpha : {-1.0, 0.0, 0.5, 1.0}) {
        std::vector<float> inputs = x, weights = w;
        SmoothOptions options;
        options.alpha = alpha;
        float s = 1;
        for (std::size_t c = 0; c < 2 && alpha >= 0; ++c) {
            const float one = smoothing_scale(x[c], w[c], options);
            if (c == 0) s = one;
            inputs[c] /= one;
            weights[c] *= one;
        }
        std::int8_t codes[2];
        quantize_int8(inputs.data(), 1, 2, codes, 1);
        if (alpha < 0)
            std::printf("      -   %14s", "-");
        else
            std::printf("  %5g   %14g", alpha, wide(s));
        std::printf("   %6g %6g   %6g %6g      %4d %4d\n", wide(inputs[0]), wide(inputs[1]),
                    wide(weights[0]), wide(weights[1]), codes[0], codes[1]);
    }
}

// The keys of three tokens, one below the other: columns of W Xt.
void by_hand_directions() {
    const double keys[3][2] = {{8, 6}, {1, 7}, {-7, 1}}, w[2][2] = {{1, 0}, {0, 2}};
    std::vector<double> of_keys;
    for (std::size_t i = 0; i < 2; ++i)
        for (const auto& key : keys) of_keys.push_back(key[i]);
    const LeftSvd svd = left_svd(of_keys, 2, 3),
                  of_w = left_svd({w[0][0], w[0][1], w[1][0], w[1][1]}, 2, 2);
    const auto show = [&](const char* name, const LeftSvd& found) {
        // The sign of a direction says nothing; the first is printed upwards.
        const double u[2] = {found.u[0], found.u[2]}, sign = u[1] < 0 ? -1 : 1;
        std::printf("  %s: lengths %.4g and %.4g, first direction (%.1f, %.1f)\n", name,
                    found.values[0], found.values[1], tidy(sign * u[0]), tidy(sign * u[1]));
        double error = 0;
        for (const auto& key : keys) {
            const double c = u[0] * key[0] + u[1] * key[1];
            const double read[2] = {c * u[0], c * u[1]};
            std::printf("    key (%2g, %g)   kept %5.1f   read as (%.1f, %.1f)\n", key[0],
                        key[1], tidy(sign * c), tidy(read[0]), tidy(read[1]));
            for (std::size_t i = 0; i < 2; ++i)
                error += (key[i] - read[i]) * (key[i] - read[i]);
        }
        std::printf("    squared error %.0f of 200\n", error);
    };
    show("of the keys", svd);
    show("of W alone", of_w);
}

}  // namespace kvlab::app
