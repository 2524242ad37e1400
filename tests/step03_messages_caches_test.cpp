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
#include <kvlab/kvcache/kv_format.hpp>
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
                         "rows: copy between different kinds or shapes", Error);
    CHECK_THROWS_WITH_AS(more.copy_from(Tiles(64, 2, 7), 1),
                         "rows: copy between different kinds or shapes", Error);
    CHECK_THROWS_WITH_AS(more.copy_from(tiles, -1), "rows: cannot copy -1 slots", Error);
    CHECK_THROWS_WITH_AS(more.copy_from(tiles, 65), "rows: cannot copy 65 slots", Error);
    CHECK_THROWS_WITH_AS(tiles.copy_from(more, 65), "rows: cannot copy 65 slots", Error);
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

TEST_CASE("messages: a cache says what does not fit") {
    for (const Index bad : {0, -1})
        for (const Format format : kv_formats())
            CHECK_THROWS_WITH_AS(
                make_cache(format, kOfRefused, bad),
                concat("kv cache: capacity must be positive, found ", bad).c_str(), Error);
    for (const Format format : kv_formats())
        CHECK(make_cache(format, kOfRefused, 1)->room() == 1);
}

TEST_CASE("messages: an element is of a layer, a head, a token and the width") {
    const auto check_borders = [](const auto& cache) {
        check_elements(cache, "kv cache", {2, 2, 3, 8});
    };
    for (const Format format : kv_formats()) {
        const auto cache = make_cache(format, kOfRefused, 5);
        fill(*cache, 3);
        check_borders(*cache);
    }
}

TEST_CASE("messages: narrow tiles and their formats") {
    check_copies_of<F16Tiles>();
    check_copies_of<Int8Tiles>();
    CHECK_THROWS_WITH_AS(find_kv_format(kv_formats(), "f64"),
                         "'f64' is no format of a cache; they are f32, f16, int8", Error);
    for (const Format format : kv_formats()) {
        CHECK(find_kv_format(kv_formats(), format->name) == format);
        CHECK_THROWS_WITH_AS(format->token_bytes({0, 4, 2, 8}),
                             "kv bytes: layers: expected 1 to 4096, found 0", Error);
        CHECK_THROWS_WITH_AS(format->token_bytes({2, 3, 2, 8}),
                             "kv bytes: 3 query heads do not share 2 KV heads evenly", Error);
    }
    CHECK(formats::f32.token_bytes({1, 1, 1, 1}) == 8);

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
