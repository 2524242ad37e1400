// Step 7: pages outside of their pool, in memory and in files. Mistakes in mind: a last page
// that is cut, pages that come back in another order, a file of another model, another format
// or another shape, one that was damaged, cut off or made to do harm.
#include <doctest/doctest.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include <kvlab/kvcache/narrow_tiles.hpp>
#include <kvlab/serving/cache_file.hpp>
#include <kvlab/serving/saved_pages.hpp>

#include "quant_rig.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

// A text in pages of a pool, and how it goes on.
struct SavedRig {
    explicit SavedRig(const MakeRows& rows = float_rows(), Index pages = 8)
        : pool(rig.shape(), {.pages = pages, .rows = rows, .poison = true}),
          cache(pool, 300, &rig.model->rope) {}

    std::span<const Token> first(Index count) const {
        return std::span(text).first(usize(count));
    }

    Tensor next(KvStore& store) { return rig.cached(store, std::span(text).subspan(150), 20); }

    QuantRig rig;
    std::vector<Token> text = random_tokens(200, 96, 5);
    PagePool pool;
    PagedCache cache;
    CacheOrigin origin = origin_of(*make_synthetic(rig.model->config, 7), "f32");
};

// Damages a file at this byte.
std::vector<std::byte> flipped(std::vector<std::byte> bytes, Index at_byte, int bit = 0) {
    at(bytes, at_byte) ^= std::byte{1} << bit;
    return bytes;
}

// With another number at this byte, and the checksum that belongs to it: no accident.
template <class T>
std::vector<std::byte> forged(std::vector<std::byte> bytes, Index at_byte, T number) {
    std::memcpy(bytes.data() + at_byte, &number, sizeof number);
    Checksum sum;  // as byte_sum.hpp says it
    const Index size = std::ssize(bytes) - 8;
    for (Index i = 0; i < size; i += 4) {
        std::uint32_t word = 0;
        std::memcpy(&word, bytes.data() + i, usize(std::min<Index>(4, size - i)));
        sum.add_bits(word);
    }
    sum.add_bits(static_cast<std::uint32_t>(size));
    sum.add_bits(0);
    const std::uint64_t value = sum.value();
    std::memcpy(bytes.data() + size, &value, sizeof value);
    return bytes;
}

}  // namespace

TEST_SUITE_BEGIN("step07");

TEST_CASE("saved: a text that was swapped out goes on with the same bits") {
    for (const Format format : kv_formats()) {
        CAPTURE(format->name);
        SavedRig a(rows_in(format), 3);
        a.rig.cached(a.cache, a.first(150), 0);
        const Tensor expected = [&] {
            KvCache plain(a.rig.shape(), 300, rows_in(format));
            a.rig.cached(plain, a.first(150), 0);
            return a.next(plain);
        }();
        const SavedPages saved = SavedPages::of(a.cache);
        CHECK(saved.tokens() == 150);
        CHECK(saved.bytes() == 3 * a.pool.page_bytes());
        a.cache.reset();
        {
            PagedCache other(a.pool, 300);  // has the pages meanwhile
            a.rig.cached(other, random_tokens(190, 96, 8), 0);
            CHECK(a.pool.free() == 0);
            CHECK_THROWS_WITH_AS(saved.into(a.cache), doctest::Contains("needs 3 pages"),
                                 Error);
            CHECK(a.cache.next_position() == 0);
            CHECK(a.pool.free() == 0);
        }
        saved.into(a.cache);
        CHECK(a.cache.next_position() == 150);
        CHECK_THROWS_WITH_AS(saved.into(a.cache), doctest::Contains("has 150 tokens"), Error);
        a.cache.truncate(150);
        CHECK(a.pool.free() == 0);
        CHECK(differing(a.rig.cached(a.cache, std::span(a.text).subspan(150, 42), 7), [&] {
                  Tensor same({42, 96});
                  std::copy_n(expected.data(), same.size(), same.data());
                  return same;
              }()) == 0);
    }
}

TEST_CASE("saved: what was shared comes back as pages of its own") {
    SavedRig a;
    a.rig.cached(a.cache, a.first(150), 0);
    const auto fork = a.cache.fork();
    const SavedPages saved = SavedPages::of(a.cache);
    a.cache.reset();
    CHECK(a.pool.free() == 5);
    saved.into(a.cache);
    CHECK(a.pool.free() == 2);
    for (const PageId page : a.cache.table()) CHECK(a.pool.users(page) == 1);
    CHECK(differing(a.next(a.cache), a.next(*fork)) == 0);
    SavedRig other;
    CHECK_THROWS_WITH_AS(saved.into(other.cache), "saved pages: they are of another pool",
                         Error);
}

TEST_CASE("saved: pages that are only counted") {
    PagePool pool({2, 4, 2, 8}, {.pages = 5, .page_slots = 16});
    PagedCache cache(pool, 300);
    SavedPages::of(cache).into(cache);
    CHECK(cache.next_position() == 0);
    cache.pretend(50);
    const SavedPages saved = SavedPages::of(cache);
    CHECK(saved.bytes() == 4 * pool.page_bytes());
    cache.reset();
    CHECK(pool.free() == 5);
    saved.into(cache);
    CHECK(cache.next_position() == 50);
    CHECK(pool.free() == 1);
    CHECK(pool.allocated_bytes() == 0);
    CHECK_THROWS_WITH_AS(visit_pages(cache, [](std::span<std::byte>) {}),
                         doctest::Contains("nobody wrote to page"), Error);
}

TEST_CASE("saved: a file gives the tokens and the bits back") {
    const auto path = std::filesystem::temp_directory_path() / "kvlab_saved_test.kv";
    QuantOptions sinks{&formats::q4_0, &formats::e4m3};
    sinks.sinks = 5;
    for (const MakeRows& rows : {float_rows(), rows_in(&formats::int8), coded_rows(sinks)}) {
        SavedRig a(rows), b(rows);
        a.rig.cached(a.cache, a.first(150), 0);
        OutputFile file(path);
        save_cache(file, a.origin, a.first(150), a.cache);
        const std::vector<Token> tokens = load_cache(path, b.origin, b.cache);
        CHECK(tokens == std::vector<Token>(a.text.begin(), a.text.begin() + 150));
        CHECK(b.cache.next_position() == 150);
        CHECK(b.cache.bytes().logical == a.cache.bytes().logical);
        CHECK(differing(a.next(a.cache), b.next(b.cache)) == 0);
        CHECK_THROWS_WITH_AS(load_cache(path, b.origin, b.cache),
                             doctest::Contains("begins a text, and the cache has 200 tokens"),
                             Error);
    }
    std::filesystem::remove(path);
    SavedRig a;
    CHECK_THROWS_WITH_AS(load_cache(path, a.origin, a.cache),
                         doctest::Contains("cannot be read"), Error);
}

TEST_CASE("saved: the fingerprint is of every number of the model and of nothing else") {
    const Config config = small_config();
    const std::uint64_t one = model_fingerprint(*make_synthetic(config, 7));
    CHECK(one == model_fingerprint(*make_synthetic(config, 7)));
    CHECK(one != model_fingerprint(*make_synthetic(config, 8)));
    Config renamed = config, turned = config;
    renamed.name = "another name";
    turned.rope_base = 10001;  // no tensor says so
    CHECK(one == model_fingerprint(*make_synthetic(renamed, 7)));
    CHECK(one != model_fingerprint(*make_synthetic(turned, 7)));
}

TEST_CASE("saved: files of others are refused by name") {
    SavedRig a, b;
    a.rig.cached(a.cache, a.first(70), 0);
    const auto bytes = cache_to_bytes(a.origin, a.first(70), a.cache);
    const auto refused = [&](std::span<const std::byte> file, const CacheOrigin& origin,
                             PagedCache& cache, const std::string& text) {
        CAPTURE(text);
        const Index free = cache.pool().free();
        CHECK_THROWS_WITH_AS(cache_from_bytes(file, "f", origin, cache),
                             doctest::Contains(text.c_str()), Error);
        CHECK(cache.pool().free() == free);
    };
    CacheOrigin other = a.origin;
    other.name = "other\x1b[2J";
    other.model ^= 1;
    refused(bytes, other, b.cache,
            concat("f: is of another model: expected 'other\\x1b[2J' with the fingerprint ",
                   hex64(other.model), ", found 'small' with ", hex64(a.origin.model)));
    other = a.origin;
    other.format = "int8";
    refused(bytes, other, b.cache, "f: format: expected 'int8', found 'f32'");
    other = a.origin;
    other.vocab = 95;
    refused(bytes, other, b.cache, "f: vocabulary: expected 95, found 96");

    const KvShape shape = a.rig.shape();
    KvShape wider = shape;
    ++wider.layers;
    PagePool wide(wider, {.pages = 4}), long_pages(shape, {.pages = 4, .page_slots = 128}),
        narrow(shape, {.pages = 4, .rows = rows_in(&formats::f16)}), small(shape, {.pages = 1});
    PagedCache wide_cache(wide, 300), long_cache(long_pages, 300), narrow_cache(narrow, 300),
        small_cache(small, 300), short_cache(b.pool, 69);
    refused(bytes, a.origin, wide_cache, "f: layers: expected 3, found 2");
    refused(bytes, a.origin, long_cache, "f: page_slots: expected 128, found 64");
    refused(bytes, a.origin, narrow_cache, "f: bytes of pages: expected");
    refused(bytes, a.origin, short_cache, "f: tokens: expected 1 to 69, found 70");
    refused(bytes, a.origin, small_cache, "needs 2 pages");
    CHECK_THROWS_WITH_AS(cache_to_bytes(a.origin, a.first(69), a.cache),
                         "cache file: 69 tokens for a cache that has 70", Error);
    CHECK_THROWS_AS(cache_to_bytes(a.origin, {}, b.cache), Error);
}

TEST_CASE("saved: damage of every kind is seen") {
    SavedRig a, b;
    a.rig.cached(a.cache, a.first(65), 0);
    const auto bytes = cache_to_bytes(a.origin, a.first(65), a.cache);
    const auto load = [&](std::span<const std::byte> file) {
        return cache_from_bytes(file, "f", a.origin, b.cache);
    };
    const Index size = std::ssize(bytes), head = 8 + 8 + 13 + 8 + 11 + 5 * 8 + 8 + 65 * 4 + 8;
    CHECK(size == head + 2 * a.pool.page_bytes() + 8);
    for (Index i = 0; i < size; i += i < head || i > size - 16 ? 1 : 1511)
        CHECK_THROWS_AS(load(flipped(bytes, i, static_cast<int>(i % 8))), Error);
    for (Index cut = 0; cut < size; cut += cut < head || cut > size - 16 ? 1 : 1511)
        CHECK_THROWS_AS(load(std::span(bytes).first(usize(cut))), Error);
    auto longer = bytes;
    longer.push_back(std::byte{0});
    CHECK_THROWS_AS(load(longer), Error);
    CHECK_THROWS_WITH_AS(load({}), "f: expected a file of a kvlab cache, found another one",
                         Error);
    CHECK_THROWS_WITH_AS(load(flipped(bytes, 7, 1)),
                         "f: version: expected 1, found another one", Error);
    CHECK_THROWS_WITH_AS(load(flipped(bytes, 12)), doctest::Contains("f: is damaged"), Error);
    CHECK(b.pool.free() == 8);
    CHECK(load(bytes).size() == 65);
}

TEST_CASE("saved: absurd numbers with the right checksum are refused before any memory") {
    SavedRig a, b;
    a.rig.cached(a.cache, a.first(65), 0);
    const auto bytes = cache_to_bytes(a.origin, a.first(65), a.cache);
    const auto load = [&](std::span<const std::byte> file) {
        return cache_from_bytes(file, "f", a.origin, b.cache);
    };
    const Index name = 16, format = name + 13 + 8, tokens = format + 11 + 5 * 8,
                pages = tokens + 8 + 65 * 4;
    CHECK(load(forged(bytes, 0, bytes[0])).size() == 65);  // the forger knows his trade
    b.cache.reset();
    constexpr Index kHuge = Index{1} << 62;
    for (const Index number : {kHuge, Index{-1}, Index{-kHuge}, Index{256}}) {
        CHECK_THROWS_WITH_AS(load(forged(bytes, name, number)),
                             doctest::Contains("f: name: expected at most 255 bytes"), Error);
        CHECK_THROWS_WITH_AS(load(forged(bytes, format, number)),
                             doctest::Contains("f: format: expected at most 255"), Error);
    }
    for (const Index number : {kHuge, Index{-1}, Index{0}, Index{301}})
        CHECK_THROWS_WITH_AS(load(forged(bytes, tokens, number)),
                             doctest::Contains("f: tokens: expected 1 to 300"), Error);
    CHECK_THROWS_AS(load(forged(bytes, tokens, Index{64})), Error);
    CHECK_THROWS_AS(load(forged(bytes, tokens, Index{66})), Error);
    for (const Index number : {kHuge, Index{-1}, Index{0}})
        CHECK_THROWS_WITH_AS(load(forged(bytes, pages, number)),
                             doctest::Contains("f: bytes of pages: expected"), Error);
    for (const Token token : {-1, 96, 1 << 30})
        CHECK_THROWS_WITH_AS(load(forged(bytes, tokens + 8, token)),
                             doctest::Contains("f: tokens: expected 0 to 95"), Error);
    CHECK(b.pool.free() == 8);
    CHECK(b.pool.allocated_bytes() == 2 * b.pool.page_bytes());  // of the one that was right
}

TEST_CASE("saved: a file that is too long for the cache is not read") {
    const auto path = std::filesystem::temp_directory_path() / "kvlab_saved_long_test.kv";
    SavedRig a, b;
    std::ofstream(path).close();
    std::filesystem::resize_file(path, std::uintmax_t{1} << 33);
    CHECK_THROWS_WITH_AS(load_cache(path, a.origin, a.cache),
                         doctest::Contains("bytes for a text of 300 tokens, found 8589934592"),
                         Error);
    std::filesystem::remove(path);
}

TEST_SUITE_END();
