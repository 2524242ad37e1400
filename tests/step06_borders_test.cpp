// Chapter 6 at its borders: sinks beside a residual, one row, groups around a row's length,
// ranks around a matrix's, options that are off unless asked for. Everything here is by hand.
#include <doctest/doctest.h>

#include <cmath>

#include <kvlab/kvcache/judge.hpp>
#include <kvlab/quant/gptq.hpp>
#include <kvlab/quant/int8_engine.hpp>
#include <kvlab/quant/int8_matrix.hpp>
#include <kvlab/quant/low_rank.hpp>
#include <kvlab/quant/smooth.hpp>
#include <kvlab/quant/weight_codec.hpp>

#include "models.hpp"
#include "quant_rig.hpp"
#include "quant_support.hpp"

namespace kvlab::test {

TEST_SUITE_BEGIN("step06");

TEST_CASE("bytes: sinks beside what waits") {
    // One layer, one KV head of 32: a row is 128 bytes in f32, 64 in f16, 20 as codes
    // of 4 bits.
    const KvShape shape{1, 2, 1, 32};
    const auto held = [&](Index sinks, Index length) {
        QuantOptions options = kivi(&formats::kivi4, 32);
        options.sinks = sinks;
        KvCache cache(shape, 100, coded_rows(options));
        const Tensor zeros({length, 1, 32});
        cache.begin(length);
        cache.append(0, zeros.view(), zeros.view());
        cache.commit();
        return cache.bytes().logical;
    };
    // Of 70 tokens: keys 64 in codes and 6 waiting; values 38 in codes and 32 waiting.
    CHECK(held(0, 70) == (64 * 20 + 6 * 64) + (38 * 20 + 32 * 64));
    CHECK(held(5, 70) == (5 * 128 + 59 * 20 + 6 * 64) + (5 * 128 + 33 * 20 + 32 * 64));
    CHECK(held(32, 70) == (32 * 128 + 32 * 20 + 6 * 64) + (32 * 128 + 6 * 20 + 32 * 64));
    // Sinks that reach into what waits, and all tokens.
    CHECK(held(66, 70) == (66 * 128 + 4 * 64) + (66 * 128 + 4 * 64));
    CHECK(held(70, 70) == 2 * 70 * 128);
    CHECK(held(71, 70) == 2 * 70 * 128);
    CHECK(held(5, 1) == 2 * 128);
    CHECK(held(0, 32) == 32 * 20 + 32 * 64);
    CHECK(held(0, 31) == 2 * 31 * 64);
}

TEST_CASE("bytes: a position sees as f16 what is f16 when it comes") {
    // Each row is looked at, whether it is the one that waits in f16 or went through codes.
    const Index D = 32, R = 32, n = 100, sinks = 3;
    QuantOptions options{&formats::kivi2, &formats::kivi4, false, false, sinks, R};
    CodedRows rows(options, n, 1, D);
    const Tensor k = normal_matrix(n, D, 89), v = normal_matrix(n, D, 90);
    const auto is_half = [&](const Tensor& from, Index s, auto number) {
        std::vector<float> half(&from(s, 0), &from(s, 0) + D);
        round_trip(&formats::f16, half);
        for (Index i = 0; i < D; ++i)
            if (number(i) != at(half, i)) return false;
        return true;
    };
    for (Index p = 0; p < n; ++p) {
        const View<const float> key(&k(p, 0), {1, 1, D}), value(&v(p, 0), {1, 1, D});
        rows.open(p, 1);
        rows.write(p, key, value);
        rows.close(p, 1);
        rows.see_from(p);
        Index bytes = 2 * std::min(p + 1, sinks) * D * 4;
        for (Index s = sinks; s <= p; ++s) {
            const bool key_waits = is_half(k, s, [&](Index i) { return rows.key(0, s, i); });
            const bool value_waits =
                is_half(v, s, [&](Index i) { return rows.value(0, s, i); });
            bytes += key_waits ? D * 2 : formats::kivi2.row_bytes(D);
            bytes += value_waits ? D * 2 : formats::kivi4.row_bytes(D);
        }
        CHECK(rows.seen_bytes(p) == bytes);
    }
    // Whatever codes every row when it comes is seen as it is held.
    for (const Format code : {&formats::f32, &formats::q4_0, &formats::int8}) {
        CodedRows plain(both(code), n, 1, D);
        for (const Index p : {0, 1, 31, 99})
            CHECK(plain.seen_bytes(p) == plain.held_bytes(p + 1));
    }
}

TEST_CASE("kv law: a sink at either side of a group and of the residual") {
    QuantRig rig;
    const auto text = random_tokens(68, 96, 15);
    for (const Index sinks : {31, 32, 33, 63, 64, 65}) {
        QuantOptions options = kivi(&formats::kivi2, 32);
        options.sinks = sinks;
        CAPTURE(sinks);
        const Tensor expected = rig.uncached(options, text);
        for (const Index piece : {0, 1, 33}) {
            const auto cache = rig.cache(options, 68);
            CHECK(differing(rig.cached(*cache, text, piece), expected) == 0);
        }
    }
}

TEST_CASE("judge: a window of one token") {
    QuantRig rig;
    const auto text = random_tokens(4, 96, 16);
    const TextWindows windows(text, kNoToken, 1);
    CHECK(windows.count() == 3);
    const Variant variant{"floats", rig.model, rig.engine.get(), {}, 0};
    const Judgement judged = judge(rig.model, *rig.engine, windows, {&variant, 1});
    CHECK(judged.positions == 3);
    CHECK(judged.variants[0].positions == 3);
    CHECK(judged.variants[0].bits == judged.plain_bits);
    CHECK(judged.variants[0].agreement() == 1.0);
    CHECK(judged.variants[0].kl == std::vector<double>{0, 0, 0});
}

TEST_CASE("weights: groups of one number more or less than a row of 1024") {
    Tensor w({1, 1024});
    for (Index k = 0; k < 1024; ++k) w(0, k) = k == 1023 ? 100.0f : k % 2 == 0 ? 1.0f : -1.0f;
    const auto rounded = [&](Index group) { return rtn_round(w.view(), 8, group); };
    // 1023 numbers of one scale of 2 / 255 and the last alone; or all in steps of 101 / 255.
    const auto bytes = [](Index group) { return make_rtn_codec(8, group)->bytes(1, 1024); };
    CHECK(bytes(1023) == 2 * 4 + 1024);
    CHECK(bytes(1024) == 4 + 1024);
    CHECK(bytes(1025) == 4 + 1024);
    // Half a step, and what the scale lost on its way into an f16.
    CHECK(std::fabs(rounded(1023)(0, 0) - 1.0f) <= 1.0f / 255 + 0x1p-11f);
    CHECK(std::fabs(rounded(1023)(0, 1023) - 100.0f) <= 0.05f);
    CHECK(std::fabs(rounded(1024)(0, 0) - 1.0f) > 0.1f);
    CHECK(equal_bits(rounded(1024), rounded(1025)));
    CHECK(!equal_bits(rounded(1023), rounded(1024)));
}

TEST_CASE("weights: the last byte of codes may be begun and rows of one number are rows") {
    CHECK(make_rtn_codec(3, 8)->bytes(1, 1) == 4 + 1);
    CHECK(make_rtn_codec(3, 8)->bytes(1, 8) == 4 + 3);
    CHECK(make_rtn_codec(3, 8)->bytes(1, 9) == 2 * 4 + 4);  // 27 bits
    CHECK(make_nf4_codec(false)->bytes(1, 1) == 4 + 1);
    CHECK(make_nf4_codec(false)->bytes(1, 64) == 4 + 32);
    CHECK(make_nf4_codec(false)->bytes(1, 65) == 2 * 4 + 33);
    // Its mean, a step for each 256 blocks, and a byte for each block.
    CHECK(make_nf4_codec(true)->bytes(1, 256 * 64) == 4 + 4 + 256 + 128 * 64);
    CHECK(make_nf4_codec(true)->bytes(1, 256 * 64 + 1) == 4 + 2 * 4 + 257 + 128 * 64 + 1);
}

TEST_CASE("gptq: groups around the block of 128 columns") {
    // Channels that do not move together: no error is carried on, so the groups alone count.
    const Index K = 257;
    std::vector<double> gram(usize(K * K), 0.0);
    for (Index k = 0; k < K; ++k) at(gram, k * K + k) = 1.0;
    const Tensor w = normal_matrix(2, K, 17);
    for (const Index group : {127, 128, 129, 256, 257, 258}) {
        CAPTURE(group);
        CHECK(equal_bits(gptq_round(w.view(), gram, 4, group, 0.01),
                         rtn_round(w.view(), 4, group)));
    }
}

TEST_CASE("low rank: energies and errors at no direction and at all and beyond") {
    // W = diag(2, 1) above a row of zeros: three numbers of two inputs.
    Tensor w({3, 2});
    w(0, 0) = 2, w(1, 1) = 1;
    const LeftSvd svd = left_svd({2, 0, 0, 1, 0, 0}, 3, 2);
    Basis basis{3, svd.u, svd.values, 1};
    CHECK(energy(basis, 0) == 0.0);
    CHECK(energy(basis, 1) == 0.8);
    CHECK(energy(basis, 2) == 1.0);
    CHECK(energy(basis, 3) == 1.0);
    CHECK(energy(basis, 4) == 1.0);
    const std::vector<double> gram = {1, 0, 0, 4};  // W X Xt Wt = diag(4, 4, 0)
    const std::vector<double> errors = output_errors(basis, w, gram);
    CHECK(errors == std::vector<double>{1, std::sqrt(0.5), 0, 0});
}

TEST_CASE("options: what is not asked for is off") {
    const QuantOptions cache;
    CHECK((cache.keys == &formats::f32 && cache.values == &formats::f32));
    CHECK(!(cache.turn || cache.before_rope));
    CHECK(cache.sinks == 0);
    CHECK(cache.residual == 128);
    const Int8Options bytes;
    CHECK(!bytes.head);
    CHECK(bytes.threshold == 0.0f);
    const SmoothOptions smooth;
    CHECK(!(smooth.powers_of_two || smooth.inner));
    const CalibrationOptions calibration;
    CHECK(!(calibration.gram || calibration.inputs || calibration.head));
}

TEST_CASE("int8: one row of one number, and of numbers at the threshold") {
    ThreadPool pool(1);
    Tensor w({1, 1}), x({1, 1}), y({1, 1});
    w(0, 0) = 3, x(0, 0) = -2;
    const Tensor file = w.clone();
    TensorInfo info;
    info.name = "one.weight", info.type = TensorType::f32, info.shape = {1, 1};
    info.bytes = std::as_bytes(std::span<const float>(file.flat()));
    const TensorInfo* const part = &info;
    const Int8Matrix matrix({&part, 1}, pool);
    const auto product = [&](float threshold) {
        int8_linear_plain(matrix, x.view(), threshold, y.view());
        return y(0, 0);
    };
    CHECK(std::fabs(product(0) + 6.0f) <= 1e-6f);
    // At the threshold a number is an outlier, just above it is none.
    Int8Rows rows;
    const Int8Kernels& kernels = int8_kernels(best_int8_level(default_simd_level()));
    for (const auto& [threshold, outliers] :
         {std::pair{2.0f, 1}, std::pair{std::nextafter(2.0f, 3.0f), 0}, std::pair{0.0f, 0}}) {
        rows.set(kernels, x.view(), threshold, pool);
        CHECK(rows.outliers() == outliers);
    }
}

TEST_SUITE_END();

}  // namespace kvlab::test
