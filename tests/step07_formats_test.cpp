// Step 7: every kind of rows in pages. Mistakes in mind: a sink on each page, scales that stay
// behind, a piece of memory that nobody visits, a format whose tokens need their neighbours.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

#include <kvlab/kvcache/narrow_tiles.hpp>
#include <kvlab/quant/edited_weights.hpp>
#include <kvlab/quant/latent_rows.hpp>
#include <kvlab/serving/paged_cache.hpp>

#include "quant_rig.hpp"
#include "random_data.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

struct NamedRows {
    std::string name;
    MakeRows rows;
};

// Every kind that keeps whole tiles and fits heads of 32 numbers.
std::vector<NamedRows> page_rows() {
    std::vector<NamedRows> all;
    for (const Format format : kv_formats()) all.push_back({format->name, rows_in(format)});
    for (const Format format : coded_formats())
        if (!format->waits)
            all.push_back({concat("coded ", format->name), coded_rows(both(format))});
    QuantOptions options = both(&formats::q4_0);
    options.sinks = 5;
    all.push_back({"sinks", coded_rows(options)});
    options.sinks = 70;  // more than a page
    options.turn = true;
    all.push_back({"turned and sinks", coded_rows(options)});
    options = both(&formats::q8_0);
    options.before_rope = true;
    all.push_back({"before rope", coded_rows(options)});
    return all;
}

std::shared_ptr<const LatentPlan> page_latents(const QuantRig& rig, Format format) {
    const auto weights = make_synthetic(rig.model->config, 7);
    const Bases bases = find_bases(*weights);
    return std::make_shared<LatentPlan>(rig.model, bases, LatentRanks{{20, 31}, {17, 9}},
                                        format);
}

std::vector<NamedRows> with_latents(const QuantRig& rig) {
    std::vector<NamedRows> all = page_rows();
    for (const Format format : {&formats::f32, &formats::int8})
        all.push_back(
            {concat("latents ", format->name), latent_rows(page_latents(rig, format))});
    return all;
}

std::vector<std::byte> bytes_of_rows(LayerRows& rows) {
    std::vector<std::byte> bytes;
    rows.visit_memory([&](std::span<std::byte> piece) {
        bytes.insert(bytes.end(), piece.begin(), piece.end());
    });
    return bytes;
}

void put_row_bytes(LayerRows& rows, std::span<const std::byte> bytes) {
    rows.visit_memory([&](std::span<std::byte> piece) {
        std::copy_n(bytes.begin(), piece.size(), piece.begin());
        bytes = bytes.subspan(piece.size());
    });
    CHECK(bytes.empty());
}

}  // namespace

TEST_SUITE_BEGIN("step07");

TEST_CASE("formats: bytes that are copied into other rows make them these rows") {
    QuantRig rig;
    std::vector<NamedRows> kinds = with_latents(rig);
    kinds.push_back({"kivi", coded_rows(kivi(&formats::kivi4, 32))});
    for (const NamedRows& kind : kinds) {
        CAPTURE(kind.name);
        const Index T = 100, D = 32;
        const auto rows = kind.rows({1, 128, 2, D}), other = kind.rows({1, 128, 2, D});
        const Tensor k = random_tensor({T, 2, D}, 1), v = random_tensor({T, 2, D}, 2);
        rows->open(0, T);
        rows->write(0, k.view(), v.view());
        rows->close(0, T);
        const std::vector<std::byte> bytes = bytes_of_rows(*rows);
        CHECK(std::ssize(bytes) == rows->allocated_bytes());
        put_row_bytes(*other, bytes);
        for (LayerRows* of : {rows.get(), other.get()}) of->see_from(T);
        Index differ = 0;
        for (Index h = 0; h < 2; ++h)
            for (Index slot = 0; slot < T; ++slot)
                for (Index i = 0; i < D; ++i)
                    if (rows->key(h, slot, i) != other->key(h, slot, i) ||
                        rows->value(h, slot, i) != other->value(h, slot, i))
                        ++differ;
        CHECK(differ == 0);
        CHECK(rows->held_bytes(T) == other->held_bytes(T));
    }
}

TEST_CASE("formats: logits from pages have the bits of the contiguous cache") {
    constexpr std::pair<Index, Index> kWays[] = {{64, 0}, {64, 1}, {128, 33}};
    QuantRig rig;
    for (const NamedRows& kind : with_latents(rig))
        for (const auto& way : kWays) {
            const Index page_slots = way.first, piece = way.second;
            CAPTURE(kind.name);
            CAPTURE(page_slots);
            CAPTURE(piece);
            const auto text = random_tokens(135, rig.model->config.vocab, 3);
            PagePool pool(
                rig.shape(),
                {.pages = 4, .page_slots = page_slots, .rows = kind.rows, .poison = true});
            KvCache contiguous(rig.shape(), 200, kind.rows, &rig.model->rope);
            PagedCache paged(pool, 200, &rig.model->rope);
            CHECK(paged.key_form() == contiguous.key_form());
            const Tensor b = rig.cached(contiguous, text, piece);
            for (int pass = 0; pass < 2; ++pass) {  // in new pages, and in poisoned ones
                CHECK(differing(rig.cached(paged, text, piece), b) == 0);
                CHECK(paged.bytes().logical == contiguous.bytes().logical);
                Index differ = 0;
                for (Index p = piece; p < 135; p += 17)
                    for (Index i = 0; i < 32; i += 3)
                        if (paged.key(1, 1, p, i) != contiguous.key(1, 1, p, i) ||
                            paged.value(1, 1, p, i) != contiguous.value(1, 1, p, i))
                            ++differ;
                CHECK(differ == 0);
                paged.reset();
                CHECK(pool.free() == 4);
            }
        }
}

TEST_CASE("formats: a freed page is all NaN if that is asked for") {
    QuantRig rig;
    for (const NamedRows& kind : with_latents(rig)) {
        CAPTURE(kind.name);
        PagePool pool(rig.shape(), {.pages = 1, .rows = kind.rows, .poison = true});
        PagedCache cache(pool, 64, &rig.model->rope);
        rig.cached(cache, random_tokens(64, rig.model->config.vocab, 3), 0);
        const LayerRows& rows = pool.rows(cache.table()[0], 1);
        CHECK(rows.key(1, 3, 2) == cache.key(1, 1, 3, 2));
        cache.reset();
        Index numbers = 0;
        for (Index h = 0; h < 2; ++h)
            for (Index slot = 0; slot < 64; ++slot)
                for (Index i = 0; i < 32; ++i)
                    if (!std::isnan(rows.key(h, slot, i)) ||
                        !std::isnan(rows.value(h, slot, i)))
                        ++numbers;
        CHECK(numbers == 0);
    }
}

TEST_CASE("formats: KIVI keeps no pages") {
    CHECK_THROWS_WITH_AS(
        PagePool({2, 4, 2, 32}, {.pages = 1, .rows = coded_rows(kivi(&formats::kivi4, 32))}),
        doctest::Contains("(KIVI) cannot be kept in pages"), Error);
}

TEST_SUITE_END();
