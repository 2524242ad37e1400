// Step 3: caches of fewer bits. Attention over them is attention over the numbers that they
// hold, bit for bit; what they hold is the input, rounded once; and their bytes
// count the scales.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/generate.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/kvcache/kv_format.hpp>
#include <kvlab/kvcache/prefill.hpp>
#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/half.hpp>

#include "models.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

Tensor random_rows(Index T, Index heads, Index D, Rng& rng, float scale = 1.0f) {
    Tensor rows({T, heads, D});
    for (float& x : rows.flat()) x = rng.normal() * scale;
    return rows;
}

// What a store of one layer holds, as float rows.
Tensor kept(const KvCache& cache, bool keys) {
    const KvShape& s = cache.shape();
    Tensor rows({cache.next_position(), s.kv_heads, s.head_dim});
    for (Index p = 0; p < rows.dim(0); ++p)
        for (Index h = 0; h < s.kv_heads; ++h)
            for (Index i = 0; i < s.head_dim; ++i)
                rows(p, h, i) = keys ? cache.key(0, h, p, i) : cache.value(0, h, p, i);
    return rows;
}

void append(KvStore& store, const Tensor& k, const Tensor& v) {
    store.begin(k.dim(0));
    store.append(0, k.view(), v.view());
}

// Fills a narrow cache, then a float cache with the very numbers that the narrow one holds, and
// asks both.
void check_attention(Format format, const KvShape& shape, Index past, Index T, Index threads) {
    Rng rng(static_cast<std::uint64_t>(past * 131 + T));
    const auto cache = make_cache(format, shape, past + T);
    KvCache& narrow = *cache;
    if (past > 0) {
        append(narrow, random_rows(past, shape.kv_heads, shape.head_dim, rng),
               random_rows(past, shape.kv_heads, shape.head_dim, rng));
        narrow.commit();
    }
    append(narrow, random_rows(T, shape.kv_heads, shape.head_dim, rng),
           random_rows(T, shape.kv_heads, shape.head_dim, rng));
    ThreadPool pool(threads);
    const Tensor q = random_rows(T, shape.heads, shape.head_dim, rng);
    Tensor out({T, shape.heads, shape.head_dim}), expected(out.shape());
    narrow.attend(0, q.view(), out.view(), pool);
    narrow.commit();

    const Tensor k = kept(narrow, true), v = kept(narrow, false);
    KvCache plain(shape, past + T);
    const auto part = [](const Tensor& rows, Index begin, Index end) {
        return rows.view().slice(0, begin, end);
    };
    if (past > 0) {
        plain.begin(past);
        plain.append(0, part(k, 0, past), part(v, 0, past));
        plain.commit();
    }
    plain.begin(T);
    plain.append(0, part(k, past, past + T), part(v, past, past + T));
    plain.attend(0, q.view(), expected.view(), pool);
    CHECK(compare_bits(out.flat(), expected.flat()).differ == 0);
}

// Checksum of a run's logits.
Checksum run(Decoder& decoder, KvStore& store, std::span<const Token> prompt, Index chunk) {
    Checksum sum;
    View<const float> logits = prefill(decoder, store, prompt, chunk);
    for (int i = 0; i < 6; ++i) {
        sum.add(logits[logits.dim(0) - 1].flat());
        const Token next = static_cast<Token>(i + 1);
        logits = decoder.forward(store, {&next, 1});
    }
    return sum;
}

}  // namespace

TEST_SUITE_BEGIN("step03");

TEST_CASE("narrow caches: attention equals attention over the numbers held") {
    for (const KvShape& shape : {KvShape{1, 4, 2, 16}, KvShape{1, 3, 1, 64},
                                 KvShape{1, 2, 2, 22}, KvShape{1, 9, 3, 128}})
        for (const auto& lengths :
             {std::pair<Index, Index>{0, 1}, {0, 65}, {63, 1}, {64, 7}, {600, 1}})
            for (const Index threads : {1, 3}) {
                const Index past = lengths.first, T = lengths.second;
                CAPTURE(concat(shape.heads, "/", shape.kv_heads, " heads of ", shape.head_dim,
                               ", ", past, " + ", T, ", ", threads, " threads"));
                check_attention(&formats::f16, shape, past, T, threads);
                check_attention(&formats::int8, shape, past, T, threads);
            }
}

TEST_CASE("narrow caches: f16 holds the nearest f16 and int8 is off by half a scale at most") {
    const KvShape shape{1, 2, 2, 24};
    Rng rng(3);
    const Tensor k = random_rows(70, 2, 24, rng), v = random_rows(70, 2, 24, rng, 100.0f);
    const auto f16 = make_cache(&formats::f16, shape, 70),
               int8 = make_cache(&formats::int8, shape, 70);
    for (KvCache* store : {f16.get(), int8.get()}) {
        append(*store, k, v);
        store->commit();
    }
    for (Index p = 0; p < 70; ++p)
        for (Index h = 0; h < 2; ++h) {
            float largest_k = 0, largest_v = 0;
            for (Index i = 0; i < 24; ++i) {
                largest_k = std::max(largest_k, std::fabs(k(p, h, i)));
                largest_v = std::max(largest_v, std::fabs(v(p, h, i)));
            }
            for (Index i = 0; i < 24; ++i) {
                CHECK(f16->key(0, h, p, i) == f16_to_f32(f32_to_f16(k(p, h, i))));
                CHECK(f16->value(0, h, p, i) == f16_to_f32(f32_to_f16(v(p, h, i))));
                // A little more than half a step, for the quotient and the product are rounded.
                CHECK(std::fabs(int8->key(0, h, p, i) - k(p, h, i)) <=
                      largest_k / 127 * 0.50001f);
                CHECK(std::fabs(int8->value(0, h, p, i) - v(p, h, i)) <=
                      largest_v / 127 * 0.50001f);
            }
        }
}

TEST_CASE("narrow caches: zeros and the smallest and the largest floats stay finite in int8") {
    const KvShape shape{1, 1, 1, 16};
    const auto int8 = make_cache(&formats::int8, shape, 8);
    KvCache& cache = *int8;
    Tensor rows({6, 1, 16});
    const float tiny = std::numeric_limits<float>::denorm_min(),
                huge = std::numeric_limits<float>::max();
    const float extremes[] = {0.0f, tiny, 1e-40f, 1e-30f, 1e30f, huge};
    for (Index t = 0; t < 6; ++t)
        for (Index i = 0; i < 16; ++i) rows(t, 0, i) = i % 3 == 0 ? -extremes[t] : extremes[t];
    append(cache, rows, rows);
    cache.commit();
    for (Index t = 0; t < 6; ++t)
        for (Index i = 0; i < 16; ++i) {
            CAPTURE(extremes[t]);
            const float held = cache.key(0, 0, t, i);
            CHECK(std::isfinite(held));
            CHECK(held == cache.value(0, 0, t, i));
            // A constant row is its own maximum: it comes back up to rounding, or, where a
            // 127th of it is no float any more, as something that small.
            CHECK(std::fabs(held - rows(t, 0, i)) <= std::max(extremes[t] * 1e-6f, 1e-42f));
        }
}

TEST_CASE("narrow caches: what does not fit is refused and leaves the store as it was") {
    const KvShape shape{1, 2, 1, 16};
    const auto f16 = make_cache(&formats::f16, shape, 4),
               int8 = make_cache(&formats::int8, shape, 4);
    Rng rng(4);
    const Tensor good = random_rows(1, 1, 16, rng);
    for (KvCache* store : {f16.get(), int8.get()}) {
        append(*store, good, good);
        store->commit();
        for (const float bad : {std::numeric_limits<float>::infinity(), std::nanf("")}) {
            Tensor rows = good.clone();
            rows(0, 0, 5) = bad;
            store->begin(1);
            CHECK_THROWS_AS(store->append(0, rows.view(), good.view()), Error);
            store->abandon();
            store->begin(1);
            CHECK_THROWS_AS(store->append(0, good.view(), rows.view()), Error);
            store->abandon();
        }
        CHECK(store->next_position() == 1);
    }
    Tensor large = good.clone();
    large(0, 0, 0) = 65520.0f;
    f16->begin(1);
    CHECK_THROWS_WITH_AS(f16->append(0, large.view(), good.view()),
                         "f16 cache: 65520 does not fit", Error);
    large(0, 0, 0) = 65519.0f;
    f16->abandon();
    f16->begin(1);
    CHECK_NOTHROW(f16->append(0, large.view(), good.view()));
    CHECK_THROWS_AS(find_kv_format(kv_formats(), "f64"), Error);
}

TEST_CASE("narrow caches: pieces and forks and truncation change no bit") {
    const auto engine = make_cpu_engine({2, default_simd_level()});
    const auto model = load_model(*make_synthetic(small_config(), 7), *engine);
    Decoder decoder(model, *engine);
    const auto prompt = random_tokens(130, 96, 11);
    KvCache plain(decoder.kv_shape(), 140);
    const Checksum exact = run(decoder, plain, prompt, 0);
    for (const Format format : {&formats::f16, &formats::int8}) {
        CAPTURE(std::string(format->name));
        auto whole = make_cache(format, decoder.kv_shape(), 140);
        const Checksum expected = run(decoder, *whole, prompt, 0);
        CHECK(expected.hex() != exact.hex());  // equal bits would mean that nothing was rounded
        for (const Index chunk : {1, 7, 64}) {
            auto pieces = make_cache(format, decoder.kv_shape(), 140);
            CHECK(run(decoder, *pieces, prompt, chunk).hex() == expected.hex());
        }
        // A prompt half as long, taken back from the longer one, forked.
        whole->truncate(65);
        const auto fork = whole->fork();
        auto fresh = make_cache(format, decoder.kv_shape(), 140);
        prefill(decoder, *fresh, std::span(prompt).first(65));
        const std::span rest = std::span(prompt).subspan(65, 10);
        const std::string after = run(decoder, *fresh, rest, 0).hex();
        CHECK(run(decoder, *whole, rest, 0).hex() == after);
        CHECK(run(decoder, *fork, rest, 0).hex() == after);
    }
}

TEST_CASE("narrow caches: bytes count the scales") {
    const KvShape shape{6, 12, 12, 64};  // distilgpt2
    constexpr Index kTokens = 100, kTiles = 2;
    for (const Format format : kv_formats()) {
        CAPTURE(std::string(format->name));
        const auto cache = make_cache(format, shape, kTokens);
        cache->begin(kTokens);
        Rng rng(5);
        const Tensor rows = random_rows(kTokens, 12, 64, rng);
        for (Index layer = 0; layer < 6; ++layer)
            cache->append(layer, rows.view(), rows.view());
        cache->commit();
        const Index per_head = format == &formats::f32   ? 256
                               : format == &formats::f16 ? 128
                                                         : 68;
        CHECK(cache->bytes().logical == 2 * 6 * 12 * per_head * kTokens);
        CHECK(cache->bytes().allocated == 2 * 6 * 12 * per_head * kTiles * 64);
    }
    // Three quarters of the numbers' bytes are saved, but not of all: 68 of 256 are left.
    CHECK(1.0 - 68.0 / 256.0 == doctest::Approx(0.734375));
}

TEST_SUITE_END();
