// What caches say when they refuse, word for word,
// and beside it the last value that is still taken.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/generate.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/kvcache/closed_forms.hpp>
#include <kvlab/kvcache/compare_window.hpp>
#include <kvlab/kvcache/diverge.hpp>
#include <kvlab/kvcache/loose_engine.hpp>
#include <kvlab/kvcache/naive_cache.hpp>
#include <kvlab/kvcache/narrow_tiles.hpp>
#include <kvlab/kvcache/prefill.hpp>
#include <kvlab/kvcache/quality.hpp>
#include <kvlab/kvcache/split_store.hpp>
#include <kvlab/kvcache/verify.hpp>
#include <kvlab/kvcache/work.hpp>

#include "element_checks.hpp"
#include "models.hpp"
#include "random_data.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

const KvShape kOfRefused{2, 4, 2, 8};

template <class Tiles>
void check_copies_of() {
    Tiles tiles(64, 2, 8), more(65, 2, 8);
    const Tensor rows = random_tensor({1, 2, 8}, 1);
    tiles.write(63, rows.view(), rows.view());
    CHECK_THROWS_WITH_AS(more.copy_from(Tiles(64, 1, 8), 1),
                         "kv tiles: copy between different shapes", Error);
    CHECK_THROWS_WITH_AS(more.copy_from(Tiles(64, 2, 7), 1),
                         "kv tiles: copy between different shapes", Error);
    CHECK_THROWS_WITH_AS(more.copy_from(tiles, -1), "kv tiles: cannot copy -1 slots", Error);
    CHECK_THROWS_WITH_AS(more.copy_from(tiles, 65), "kv tiles: cannot copy 65 slots", Error);
    CHECK_THROWS_WITH_AS(tiles.copy_from(more, 65), "kv tiles: cannot copy 65 slots", Error);
    more.copy_from(tiles, 64);
    CHECK(more.key(1, 63, 7) == tiles.key(1, 63, 7));
    CHECK(more.value(1, 63, 7) != 0.0f);
}

// One committed step of T tokens.
void fill(KvStore& store, Index T) {
    const Tensor rows = random_tensor({T, 2, 8}, 1);
    store.begin(T);
    for (const Index layer : {0, 1}) store.append(layer, rows.view(), rows.view());
    store.commit();
}

}  // namespace

TEST_SUITE_BEGIN("step03");

TEST_CASE("3.1 messages: a cache says what does not fit") {
    for (const Index bad : {0, -1})
        for (const KvFormat format : kKvFormats)
            CHECK_THROWS_WITH_AS(
                make_cache(format, kOfRefused, bad),
                concat("kv cache: capacity must be positive, found ", bad).c_str(), Error);
    for (const KvFormat format : kKvFormats)
        CHECK(make_cache(format, kOfRefused, 1)->room() == 1);

    KvCache cache(kOfRefused, 4);
    const Tensor rows({2, 2, 8}), one({1, 2, 8}), flat({2, 16});
    CHECK_THROWS_WITH_AS(cache.commit(), "kv cache: a step ends with 0 of 2 layers", Error);
    const Tensor nothing({0, 2, 8});  // outside of a step, all layers of no token are no step
    for (const Index layer : {0, 1}) cache.append(layer, nothing.view(), nothing.view());
    CHECK_THROWS_AS(cache.commit(), Error);
    CHECK_THROWS_WITH_AS(cache.begin(0),
                         "kv cache: 0 tokens do not fit: 0 of 4 slots are taken", Error);
    CHECK_THROWS_WITH_AS(cache.begin(5),
                         "kv cache: 5 tokens do not fit: 0 of 4 slots are taken", Error);
    cache.begin(2);
    CHECK_THROWS_WITH_AS(cache.append(0, one.view(), one.view()),
                         "kv cache: a step of 2 tokens, found [1, 2, 8]", Error);
    CHECK_THROWS_WITH_AS(cache.append(0, flat.view(), flat.view()),
                         "kv cache: a step of 2 tokens, found [2, 16]", Error);
    CHECK_THROWS_WITH_AS(cache.append(1, rows.view(), rows.view()),
                         "kv cache: expected layer 0 of 2, found 1", Error);
    cache.append(0, rows.view(), rows.view());
    CHECK_THROWS_WITH_AS(cache.append(0, rows.view(), rows.view()),
                         "kv cache: expected layer 1 of 2, found 0", Error);
    CHECK_THROWS_WITH_AS(cache.commit(), "kv cache: a step ends with 1 of 2 layers", Error);
    cache.append(1, rows.view(), rows.view());
    CHECK_THROWS_WITH_AS(cache.append(2, rows.view(), rows.view()),
                         "kv cache: expected layer 2 of 2, found 2", Error);
    cache.commit();
    CHECK_THROWS_WITH_AS(cache.commit(), "kv cache: a step ends with 0 of 2 layers", Error);
    CHECK_THROWS_WITH_AS(cache.begin(3),
                         "kv cache: 3 tokens do not fit: 2 of 4 slots are taken", Error);
    CHECK_THROWS_WITH_AS(cache.truncate(3), "kv cache: cannot truncate 2 tokens to 3", Error);
    CHECK_THROWS_WITH_AS(cache.truncate(-1), "kv cache: cannot truncate 2 tokens to -1", Error);
    fill(cache, 2);
    CHECK(cache.room() == 0);
    CHECK_NOTHROW(cache.truncate(4));
}

TEST_CASE("3.1 messages: an element is of a layer, a head, a token and the width") {
    const auto check_borders = [](const auto& cache) {
        check_elements(cache, "kv cache", {2, 2, 3, 8});
    };
    KvCache f32(kOfRefused, 5);
    F16Cache f16(kOfRefused, 5);
    Int8Cache int8(kOfRefused, 5);
    for (KvStore* const store : std::initializer_list<KvStore*>{&f32, &f16, &int8})
        fill(*store, 3);
    check_borders(f32);
    check_borders(f16);
    check_borders(int8);
}

TEST_CASE("3.1 messages: the naive cache") {
    CHECK_THROWS_WITH_AS(NaiveCache(kOfRefused, 0), "naive cache: room for 0 tokens", Error);
    CHECK_THROWS_WITH_AS(NaiveCache(kOfRefused, -1), "naive cache: room for -1 tokens", Error);
    CHECK(NaiveCache(kOfRefused, 1).room() == 1);

    NaiveCache cache(kOfRefused, 4);
    const Tensor rows({2, 2, 8}), one({1, 2, 8});
    CHECK_THROWS_WITH_AS(cache.commit(), "naive cache: a step ends without the rows of layer 0",
                         Error);
    CHECK_THROWS_WITH_AS(cache.begin(0), "naive cache: a step of 0 tokens, room for 4", Error);
    CHECK_THROWS_WITH_AS(cache.begin(5), "naive cache: a step of 5 tokens, room for 4", Error);
    cache.begin(2);
    CHECK_THROWS_WITH_AS(cache.append(0, one.view(), rows.view()),
                         "naive cache: k: expected shape [2, 2, 8], found [1, 2, 8]", Error);
    CHECK_THROWS_WITH_AS(cache.append(0, rows.view(), one.view()),
                         "naive cache: v: expected shape [2, 2, 8], found [1, 2, 8]", Error);
    for (const Index bad : {-1, 2})
        CHECK_THROWS_WITH_AS(cache.append(bad, rows.view(), rows.view()),
                             concat("naive cache: no layer ", bad).c_str(), Error);
    cache.append(0, rows.view(), rows.view());
    CHECK_THROWS_WITH_AS(cache.append(0, rows.view(), rows.view()),
                         "naive cache: layer 0 has the rows of this step", Error);
    CHECK_THROWS_WITH_AS(cache.commit(), "naive cache: a step ends without the rows of layer 1",
                         Error);
    cache.append(1, rows.view(), rows.view());
    cache.commit();
    CHECK_THROWS_WITH_AS(cache.begin(3), "naive cache: a step of 3 tokens, room for 2", Error);
    CHECK_THROWS_WITH_AS(cache.truncate(3), "naive cache: cannot truncate 2 to 3", Error);
    CHECK_THROWS_WITH_AS(cache.truncate(-1), "naive cache: cannot truncate 2 to -1", Error);
    fill(cache, 1);
    fill(cache, 1);
    CHECK(cache.room() == 0);
    cache.truncate(4);
    CHECK(cache.next_position() == 4);
    cache.truncate(0);
    CHECK(cache.next_position() == 0);
}

TEST_CASE("3.2 messages: narrow tiles and their formats") {
    check_copies_of<F16Tiles>();
    check_copies_of<Int8Tiles>();
    CHECK_THROWS_WITH_AS(parse_kv_format("f64"),
                         "'f64' is no format of a cache; they are f32, f16 and int8", Error);
    for (const KvFormat format : kKvFormats) {
        CHECK(parse_kv_format(kv_format_name(format)) == format);
        CHECK_THROWS_WITH_AS(kv_bytes_per_token(format, {0, 4, 2, 8}),
                             "kv bytes: layers: expected 1 to 4096, found 0", Error);
        CHECK_THROWS_WITH_AS(kv_bytes_per_token(format, {2, 3, 2, 8}),
                             "kv bytes: 3 query heads do not share 2 KV heads evenly", Error);
    }
    CHECK(kv_bytes_per_token(KvFormat::f32, {1, 1, 1, 1}) == 8);

    Tensor rows({1, 2, 8});
    F16Tiles f16(64, 2, 8);
    Int8Tiles int8(64, 2, 8);
    rows(0, 1, 7) = 65519.0f;  // is rounded down, to the largest f16
    f16.write(0, rows.view(), rows.view());
    CHECK(f16.key(1, 0, 7) == 65504.0f);
    rows(0, 1, 7) = 65520.0f;
    CHECK_THROWS_WITH_AS(f16.write(0, rows.view(), rows.view()),
                         "f16 cache: 65520 does not fit", Error);
    CHECK_NOTHROW(int8.write(0, rows.view(), rows.view()));
    rows(0, 1, 7) = std::numeric_limits<float>::infinity();
    CHECK_THROWS_WITH_AS(int8.write(0, rows.view(), rows.view()), "int8 cache: found inf",
                         Error);
}

TEST_SUITE_END();
