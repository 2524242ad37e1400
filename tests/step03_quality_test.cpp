// Step 3: what a cache of fewer bits changes in the next-token distribution. Mistakes in mind:
// KL the wrong way round or without log-sum-exp, a cache that goes on with the last window,
// rows compared with their neighbours, a narrow cache that keeps floats, scales left out
// of the bytes.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/kvcache/quality.hpp>
#include <kvlab/weights/gguf_file.hpp>

#include "models.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

double kl(const std::vector<float>& p, const std::vector<float>& q) {
    return kl_bits(NextToken(p), NextToken(q));
}

std::vector<std::uint8_t> heldout(std::size_t bytes) {
    std::ifstream in(weights_file("heldout.txt"), std::ios::binary);
    REQUIRE(in.good());
    std::vector<std::uint8_t> text((std::istreambuf_iterator<char>(in)), {});
    text.resize(bytes);
    return text;
}

// The trained tiny model over the beginning of its held-out text.
struct TinyRun {
    std::unique_ptr<Engine> engine = make_cpu_engine();
    GgufFile file = GgufFile::open(weights_file("tiny.gguf"));
    std::shared_ptr<const Model> model = load_model(file, *engine);
    std::vector<std::uint8_t> text;

    // The 2048 bytes behind the first `skip`.
    explicit TinyRun(std::size_t skip = 0) : text(heldout(skip + 2048)) {
        text.erase(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(skip));
    }

    QualityReport measure(Index window, Index most, Index piece, Index threads = 1) const {
        const std::vector<Token> tokens(text.begin(), text.end());
        const auto other = make_cpu_engine({threads, default_simd_level()});
        return measure_quality(load_model(file, *other), *other,
                               TextWindows(tokens, 0, window, most), kv_formats(), piece);
    }
};

void check_same(const CacheQuality& a, const CacheQuality& b) {
    CHECK(a.bits == b.bits);
    CHECK(a.positions == b.positions);
    CHECK(a.agree == b.agree);
    CHECK(a.mean_kl() == b.mean_kl());
    CHECK(a.max_kl() == b.max_kl());
    CHECK(a.logits.differ == b.logits.differ);
    CHECK(a.logits.max_abs == b.logits.max_abs);
    CHECK(a.logits.max_ulp == b.logits.max_ulp);
}

}  // namespace

TEST_SUITE_BEGIN("step03");

TEST_CASE("quality: KL of known distributions has the known value and direction") {
    const float ln3 = std::log(3.0f);
    // p = 1/2 1/2, q = 3/4 1/4.
    const double forward = 0.5 * std::log2(0.5 / 0.75) + 0.5 * std::log2(0.5 / 0.25);
    const double backward = 0.75 * std::log2(0.75 / 0.5) + 0.25 * std::log2(0.25 / 0.5);
    CHECK(kl({0, 0}, {ln3, 0}) == doctest::Approx(forward).epsilon(1e-7));
    CHECK(kl({ln3, 0}, {0, 0}) == doctest::Approx(backward).epsilon(1e-7));
    CHECK(std::fabs(forward - backward) > 0.01);  // else the direction would not be tested
}

TEST_CASE("quality: KL survives logits that exp cannot take and ignores a common shift") {
    CHECK(kl({1000, 1000}, {1000, 1000}) == 0.0);
    CHECK(kl({3000, 3000}, {-3000, -3000}) == doctest::Approx(0.0).epsilon(1e-12));
    // p is sure of the first, q of the second: 2000 nats apart.
    CHECK(kl({2000, 0}, {0, 2000}) == doctest::Approx(2000 / std::log(2.0)).epsilon(1e-12));
    CHECK_THROWS_AS(kl({0, 0}, {0, 0, 0}), Error);
    CHECK_THROWS_AS(NextToken(std::span<const float>()), Error);
}

TEST_CASE("quality: a row's bits are those of the score") {
    const std::vector<float> row = {0.25f, -3.0f, 7.5f, 7.25f};
    const NextToken next(row);
    for (Token token = 0; token < 4; ++token)
        CHECK(next.bits(token) == surprise_bits(row, token));
    CHECK(next.likeliest == 2);
    CHECK_THROWS_AS(next.bits(4), Error);
    CHECK_THROWS_AS(next.bits(-1), Error);
}

TEST_CASE("quality: windows bring a BOS or the token before them") {
    const std::vector<Token> text = {10, 11, 12, 13, 14, 15, 16};
    const TextWindows with(text, 1, 3), without(text, kNoToken, 3), one(text, 1, 3, 1);
    CHECK(with.count() == 2);
    CHECK(with.input(0) == std::vector<Token>{1, 10, 11});
    CHECK(with.input(1) == std::vector<Token>{1, 13, 14});
    CHECK(with.targets(1)[0] == 13);
    CHECK(with.targets(1)[2] == 15);
    CHECK(without.count() == 2);  // the first token has nothing before it: it is not scored
    CHECK(without.input(0) == std::vector<Token>{10, 11, 12});
    CHECK(without.targets(0)[0] == 11);
    CHECK(without.input(1) == std::vector<Token>{13, 14, 15});
    CHECK(without.targets(1)[2] == 16);
    CHECK(one.count() == 1);
    CHECK(TextWindows(text, 1, 7).count() == 1);
    CHECK_THROWS_AS(TextWindows(text, 1, 8), Error);
    CHECK_THROWS_AS(TextWindows(text, kNoToken, 7), Error);
    CHECK_THROWS_AS(TextWindows(text, 1, 0), Error);
    CHECK_THROWS_AS(TextWindows({}, kNoToken, 1), Error);
}

TEST_CASE("quality: the float cache has the bits per byte of the score and no difference") {
    const TinyRun run;
    Decoder decoder(run.model, *run.engine);
    const BitsPerByte score = bits_per_byte(
        decoder,
        [&](Index n) { return std::make_unique<WholeSequence>(decoder.kv_shape(), n); },
        run.text, 0, 130, 3);
    const QualityReport report = run.measure(130, 3, 64);
    const CacheQuality& f32 = report.caches[0];
    REQUIRE(f32.format == &formats::f32);
    CHECK(report.positions == 390);
    CHECK(report.uncached_bits / 390 == score.bits);
    CHECK(f32.bits == report.uncached_bits);
    CHECK(f32.positions == 390);
    CHECK(f32.logits.count == 390 * 256);
    CHECK(f32.logits.differ == 0);
    CHECK(f32.agreement() == 1.0);
    CHECK(f32.mean_kl() == 0.0);
    CHECK(f32.max_kl() == 0.0);
    CHECK(f32.logits.max_abs == 0.0);
    CHECK(report.f32_equals_uncached());
}

TEST_CASE("quality: f16 and int8 differ and stay near") {
    const QualityReport report = TinyRun().measure(512, 4, 64);
    const CacheQuality &f16 = report.caches[1], &int8 = report.caches[2];
    REQUIRE(f16.format == &formats::f16);
    REQUIRE(int8.format == &formats::int8);
    for (const CacheQuality* cache : {&f16, &int8}) {
        CAPTURE(std::string(cache->format->name));
        // Equal bits would mean that nothing was rounded: a cache that only says it is narrow.
        CHECK(cache->logits.differ > cache->logits.count / 2);
        CHECK(cache->bits != report.uncached_bits);
        CHECK(cache->mean_kl() > 0.0);
    }
    // Of 2048 positions. The logits are the same everywhere; the logarithms are libm's.
    CHECK(f16.agree >= 2047);                     // measured: 2047
    CHECK(f16.mean_kl() <= 7.6e-7);               // 7.564e-7 bits
    CHECK(f16.max_kl() <= 2.9e-5);                // 2.814e-5
    CHECK(f16.logits.max_abs <= 0.0205);          // 0.0204
    CHECK(int8.agree >= 2034);                    // 2034
    CHECK(int8.mean_kl() <= 2.3e-4);              // 2.285e-4
    CHECK(int8.max_kl() <= 4.9e-3);               // 4.879e-3
    CHECK(int8.logits.max_abs <= 0.616);          // 0.6157
    CHECK(int8.mean_kl() > 100 * f16.mean_kl());  // 302 times
}

TEST_CASE("quality: pieces and threads change nothing for any format") {
    const TinyRun run;
    const QualityReport whole = run.measure(130, 2, 0);
    for (const Index piece : {1, 7, 64, 130, 999}) {
        CAPTURE(piece);
        const QualityReport pieces = run.measure(130, 2, piece, piece == 7 ? 2 : 1);
        CHECK(pieces.uncached_bits == whole.uncached_bits);
        for (std::size_t c = 0; c < whole.caches.size(); ++c) {
            CAPTURE(std::string(whole.caches[c].format->name));
            check_same(pieces.caches[c], whole.caches[c]);
        }
    }
}

TEST_CASE("quality: a window begins with an empty cache") {
    // Two windows together are the two apart: nothing of the first is left in the second.
    const TinyRun run;
    const QualityReport both = run.measure(200, 2, 64), first = run.measure(200, 1, 64);
    const QualityReport second = TinyRun(200).measure(200, 1, 64);
    for (std::size_t c = 0; c < both.caches.size(); ++c) {
        CAPTURE(std::string(both.caches[c].format->name));
        CHECK(both.caches[c].agree == first.caches[c].agree + second.caches[c].agree);
        CHECK(both.caches[c].logits.differ ==
              first.caches[c].logits.differ + second.caches[c].logits.differ);
        CHECK(both.caches[c].max_kl() ==
              std::max(first.caches[c].max_kl(), second.caches[c].max_kl()));
    }
}

TEST_CASE("quality: a float cache that differs is said to differ") {
    QualityReport report;
    report.uncached_bits = 8.0;
    report.caches.emplace_back().bits = 8.0;
    report.caches[0].format = &formats::f32;
    CHECK(report.f32_equals_uncached());
    report.caches[0].logits.differ = 1;
    CHECK_FALSE(report.f32_equals_uncached());
    report.caches[0].logits.differ = 0;
    report.caches[0].bits = 8.0 + 1e-12;
    CHECK_FALSE(report.f32_equals_uncached());
    report.caches[0].format = &formats::int8;  // is allowed to differ
    CHECK(report.f32_equals_uncached());
}

TEST_CASE("quality: the formula of bytes is what a cache says that it holds") {
    for (const KvShape& shape : {KvShape{2, 4, 2, 16}, KvShape{1, 3, 3, 22}})
        for (const Format format : kv_formats()) {
            CAPTURE(std::string(format->name));
            const auto cache = make_cache(format, shape, 5);
            cache->begin(5);
            const Tensor rows({5, shape.kv_heads, shape.head_dim});
            for (Index layer = 0; layer < shape.layers; ++layer)
                cache->append(layer, rows.view(), rows.view());
            cache->commit();
            CHECK(cache->bytes().logical == 5 * format->token_bytes(shape));
        }
    // 64 numbers and a scale: 68 of 256 bytes.
    CHECK(formats::int8.token_bytes({1, 1, 1, 64}) == 2 * 68);
}

TEST_CASE("quality: what does not fit is refused") {
    const TinyRun run;
    CHECK_THROWS_AS(run.measure(513, 1, 64), Error);
    CHECK_THROWS_AS(run.measure(64, 1, -1), Error);
}

TEST_SUITE_END();
