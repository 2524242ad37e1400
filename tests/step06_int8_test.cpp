// Step 6: products of bytes. Mistakes in mind: sums that saturate, a scale of another row or of
// the whole tensor, a row that depends on its neighbours, depths and widths that are no
// multiple of anything, levels that disagree.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include <kvlab/attention/decoder.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/kvcache/kv_cache.hpp>
#include <kvlab/kvcache/narrow_tiles.hpp>
#include <kvlab/quant/int8_engine.hpp>
#include <kvlab/quant/int8_matrix.hpp>
#include <kvlab/tensor/numerics.hpp>

#include "models.hpp"
#include "random_data.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

std::vector<Int8Level> levels() {
    std::vector<Int8Level> all;
    for (const SimdLevel level : supported_simd_levels()) {
        if (level == SimdLevel::avx512) all.push_back(Int8Level::avx512);
        if (all.empty() || all.back() != best_int8_level(level))
            all.push_back(best_int8_level(level));
    }
    return all;
}

TensorInfo info_of(const Tensor& matrix) {
    return {"w", TensorType::f32, matrix.shape(), std::as_bytes(matrix.flat())};
}

Int8Matrix bytewise(const Tensor& matrix) {
    ThreadPool pool(1);
    const TensorInfo info = info_of(matrix);
    const TensorInfo* const parts[] = {&info};
    return {parts, pool};
}

Tensor multiply(Int8Level level,
                const Int8Matrix& w,
                const Tensor& x,
                float threshold = 0,
                Index threads = 1) {
    ThreadPool pool(threads);
    Int8Rows rows;
    Tensor y({x.dim(0), w.outputs()});
    rows.set(int8_kernels(level), x.view(), threshold, pool);
    rows.multiply(int8_kernels(level), w, y.view(), pool);
    return y;
}

bool same(const Tensor& a, const Tensor& b) {
    return std::equal(a.flat().begin(), a.flat().end(), b.flat().begin(), b.flat().end());
}

}  // namespace

TEST_CASE("int8: every level gives the bits of the plain loops") {
    for (const Index K : {1, 3, 4, 63, 64, 65, 172, 576})
        for (const Index N : {1, 63, 64, 65, 200})
            for (const Index R : {1, 5, 6, 7, 13}) {
                CAPTURE(K);
                CAPTURE(N);
                CAPTURE(R);
                const Int8Matrix w = bytewise(random_tensor({N, K}, 1));
                const Tensor x = random_tensor({R, K}, 2);
                for (const float threshold : {0.0f, 1.5f}) {
                    Tensor expected({R, N});
                    int8_linear_plain(w, x.view(), threshold, expected.view());
                    for (const Int8Level level : levels()) {
                        CAPTURE(std::string(int8_level_name(level)));
                        REQUIRE(same(multiply(level, w, x, threshold), expected));
                    }
                }
            }
}

TEST_CASE("int8: threads and rows that share a task change nothing") {
    const Int8Matrix w = bytewise(random_tensor({130, 300}, 3));
    const Tensor x = random_tensor({211, 300}, 4);
    Tensor expected({211, 130});
    int8_linear_plain(w, x.view(), 0, expected.view());
    for (const Int8Level level : levels())
        for (const Index threads : {1, 2, 3})
            CHECK(same(multiply(level, w, x, 0, threads), expected));
}

TEST_CASE("int8: the largest codes of either sign do not saturate") {
    // Every product is +-127 * 127, and all of one sign: an instruction that sums pairs in 16
    // bits would stop at 32767.
    const Index K = 640;
    for (const float w_sign : {1.0f, -1.0f})
        for (const float x_sign : {1.0f, -1.0f}) {
            Tensor w({66, K}), x({7, K});
            for (float& value : w.flat()) value = 127.0f * w_sign;
            for (float& value : x.flat()) value = 127.0f * x_sign;
            const Int8Matrix matrix = bytewise(w);
            for (const Int8Level level : levels()) {
                CAPTURE(std::string(int8_level_name(level)));
                const Tensor y = multiply(level, matrix, x);
                for (const float sum : y.flat())
                    REQUIRE(sum == w_sign * x_sign * 127.0f * 127.0f * static_cast<float>(K));
            }
        }
}

TEST_CASE("int8: sums stay exact beyond 24 bits") {
    // Deep enough that a sum in floats would have to round on its way.
    const Index K = 20000;
    Tensor w({3, K}), x({2, K});
    std::int64_t expected[2][3] = {};
    Rng rng(5);
    for (Tensor* const matrix : {&w, &x})
        for (Index r = 0; r < matrix->dim(0); ++r)
            for (Index k = 0; k < K; ++k)
                (*matrix)(r, k) = k == 0 ? 127.0f : static_cast<float>(rng.below(128));
    for (Index r = 0; r < 2; ++r)
        for (Index n = 0; n < 3; ++n)
            for (Index k = 0; k < K; ++k)
                expected[r][n] += static_cast<std::int64_t>(x(r, k) * w(n, k));
    const Int8Matrix matrix = bytewise(w);
    REQUIRE(expected[0][0] > (1 << 24));
    for (const Int8Level level : levels()) {
        const Tensor y = multiply(level, matrix, x);
        for (Index r = 0; r < 2; ++r)
            for (Index n = 0; n < 3; ++n) CHECK(y(r, n) == static_cast<float>(expected[r][n]));
    }
    const Tensor deep({1, kInt8Depth + 1});
    CHECK_THROWS_WITH_AS(bytewise(deep), doctest::Contains("32 bits"), Error);
}

TEST_CASE("int8: each output has its own scale and each token its own") {
    // Output 1 is a million times smaller than output 0, and so is token 1 than token 0.
    Tensor w = random_tensor({2, 96}, 6), x = random_tensor({2, 96}, 7);
    for (Index k = 0; k < 96; ++k) w(1, k) *= 1e-6f, x(1, k) *= 1e-6f;
    const Int8Matrix matrix = bytewise(w);
    for (Index n = 0; n < 2; ++n)
        for (Index k = 0; k < 96; ++k)  // I24
            CHECK(std::fabs(static_cast<float>(matrix.code(n, k)) * matrix.scale(n) -
                            w(n, k)) <= matrix.scale(n) * 0.5f * (1 + 1e-5f));
    const Tensor y = multiply(best_int8_level(default_simd_level()), matrix, x);
    for (Index r = 0; r < 2; ++r)
        for (Index n = 0; n < 2; ++n) {
            double exact = 0, size = 0;
            for (Index k = 0; k < 96; ++k) {
                exact += static_cast<double>(x(r, k)) * static_cast<double>(w(n, k));
                size += std::fabs(static_cast<double>(x(r, k)) * static_cast<double>(w(n, k)));
            }
            // Half a step of 127 on either side, for the largest: 2 * 3 / 254 of the sizes.
            CHECK(std::fabs(static_cast<double>(y(r, n)) - exact) <= 0.03 * size);
        }
}

TEST_CASE("int8: a token's bits do not depend on its neighbours") {
    const Int8Matrix w = bytewise(random_tensor({70, 80}, 8));
    Tensor x = random_tensor({9, 80}, 9);
    for (Index k = 0; k < 80; ++k) x(4, k) *= 1000.0f;  // all of them outliers
    for (const Int8Level level : levels()) {
        const Tensor all = multiply(level, w, x, 2.0f);
        for (Index r = 0; r < 9; ++r) {
            Tensor one({1, 80});
            for (Index k = 0; k < 80; ++k) one(0, k) = x(r, k);
            const Tensor alone = multiply(level, w, one, 2.0f);
            for (Index n = 0; n < 70; ++n) REQUIRE(alone(0, n) == all(r, n));
        }
    }
}

TEST_CASE("int8: outliers leave the bytes finer") {
    const Tensor weights = random_tensor({64, 128}, 10);
    const Int8Matrix w = bytewise(weights);
    Tensor x = random_tensor({4, 128}, 11);
    for (Index r = 0; r < 4; ++r) x(r, 17) = 200.0f;
    const auto error = [&](float threshold) {
        const Tensor y = multiply(Int8Level::portable, w, x, threshold);
        double sum = 0;
        for (Index r = 0; r < 4; ++r)
            for (Index n = 0; n < 64; ++n) {
                double exact = 0;  // with the weights as rounded: what x alone loses
                for (Index k = 0; k < 128; ++k)
                    exact += static_cast<double>(x(r, k)) * w.code(n, k) *
                             static_cast<double>(w.scale(n));
                sum += std::fabs(static_cast<double>(y(r, n)) - exact);
            }
        return sum;
    };
    CHECK(error(6.0f) < 0.1 * error(0));
    ThreadPool pool(1);
    Int8Rows rows;
    rows.set(int8_kernels(Int8Level::portable), x.view(), 200.0f, pool);
    CHECK(rows.outliers() == 4);  // "at least": the threshold itself stays a float
    // Nothing reaches the threshold: the bits of no threshold at all.
    CHECK(same(multiply(Int8Level::portable, w, x, 1e9f), multiply(Int8Level::portable, w, x)));
}

TEST_CASE("int8: rows of zeros and of the smallest and largest floats") {
    const Int8Matrix w = bytewise(random_tensor({65, 40}, 12));
    for (const float size : {0.0f, 0x1p-149f, 0x1.8p-142f, 0x1.fffffep127f}) {
        CAPTURE(size);
        Tensor x({2, 40}), expected({2, 65});
        for (Index k = 0; k < 40; ++k) x(0, k) = k % 3 == 0 ? size : -size;
        x(1, 39) = size;
        int8_linear_plain(w, x.view(), 0, expected.view());
        for (const Int8Level level : levels()) CHECK(same(multiply(level, w, x), expected));
        if (size < 1e-40f)
            for (const float y : expected.flat()) CHECK(std::fabs(y) < 1e-35f);
    }
}

TEST_CASE("int8: a model in bytes is cached = uncached at every level") {
    for (const Config& config : {small_config(), small_gpt2()}) {
        const auto weights = make_synthetic(config, 13);
        const std::vector<Token> tokens = random_tokens(70, config.vocab, 14);
        std::vector<float> expected;
        for (const bool head : {false, true}) {
            expected.clear();
            for (const Int8Level level : levels())
                for (const Index piece : {70, 7, 1}) {
                    const auto engine =
                        make_int8_engine(make_cpu_engine({2}), level, {head, 2});
                    Decoder decoder(load_model(*weights, *engine), *engine);
                    KvCache cache(decoder.kv_shape(), 70);
                    std::vector<float> logits;
                    for (Index begin = 0; begin < 70; begin += piece) {
                        const auto rows = decoder.forward(
                            cache, std::span(tokens).subspan(usize(begin), usize(piece)),
                            LogitsOf::all);
                        logits.insert(logits.end(), rows.flat().begin(), rows.flat().end());
                    }
                    if (expected.empty()) expected = logits;
                    REQUIRE(logits == expected);
                }
        }
    }
}

TEST_CASE("int8: the engine multiplies bytes and leaves tables and heads as asked") {
    const Config config = small_config();
    const auto weights = make_synthetic(config, 13);
    const auto float_engine = make_cpu_engine();
    const auto int8 = make_int8_engine({}), with_head = make_int8_engine({}, {true, 0});
    const auto plain = load_model(*weights, *float_engine),
               smaller = load_model(*weights, *int8),
               smallest = load_model(*weights, *with_head);
    CHECK(smallest->head->bytes() < smaller->head->bytes() / 3);
    CHECK(smaller->head->bytes() == plain->head->bytes());
    CHECK(smaller->embedding->bytes() == plain->embedding->bytes());
    const std::vector<Token> tokens = random_tokens(30, config.vocab, 15);
    const auto logits = [&](const std::shared_ptr<const Model>& model, Engine& engine) {
        Decoder decoder(model, engine);
        KvCache cache(decoder.kv_shape(), 30);
        const auto rows = decoder.forward(cache, tokens, LogitsOf::all);
        return std::vector<float>(rows.flat().begin(), rows.flat().end());
    };
    // Bit-equal logits would be a fake.
    const std::vector<float> without_head = logits(smaller, *int8);
    CHECK(logits(plain, *float_engine) != without_head);
    CHECK(logits(smallest, *with_head) != without_head);
    CHECK(int8_counts(*int8).inputs ==
          30 * config.layers * (2 * config.dim + config.heads * config.head_dim + config.ffn));
    CHECK(int8_counts(*int8).outliers == 0);
    CHECK_THROWS_WITH_AS(make_int8_engine({}, {false, -1}), doctest::Contains("threshold"),
                         Error);
    CHECK_THROWS_WITH_AS(int8_counts(*float_engine), doctest::Contains("another"), Error);
}
