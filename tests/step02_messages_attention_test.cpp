// What attention, tiles and stores say when they refuse, word for word,
// and beside it the last value that is still taken.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <kvlab/attention/attention.hpp>
#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/generate.hpp>
#include <kvlab/attention/opened_model.hpp>
#include <kvlab/attention/pack_tensors.hpp>
#include <kvlab/attention/plain_decoder.hpp>
#include <kvlab/attention/recall_file.hpp>
#include <kvlab/attention/score.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/attention/wrapped_engine.hpp>
#include <kvlab/weights/gguf_writer.hpp>

#include "models.hpp"
#include "random_data.hpp"
#include "sample_source.hpp"
#include "small_vocabulary.hpp"
#include "weights_support.hpp"

using namespace kvlab;
using namespace kvlab::test;

TEST_SUITE_BEGIN("step02");

TEST_CASE("messages: attention says what it was given") {
    const Tensor q({4}), k({2, 4}), many({1, 4});
    Tensor out({4});
    const auto attend = [&](const Tensor& queries, const Tensor& keys) {
        attention_plain(queries.view(), keys.view(), k.view(), out.view());
    };
    CHECK_NOTHROW(attend(q, k));
    CHECK_THROWS_WITH_AS(attend(many, k),
                         "attention: expected q [D] and k [S, D], found [1, 4] and [2, 4]",
                         Error);
    CHECK_THROWS_WITH_AS(attend(q, q),
                         "attention: expected q [D] and k [S, D], found [4] and [4]", Error);

    const Tensor wide({2, 5}), none({0, 4});
    Tensor narrow({3});
    const auto mix = [&](const Tensor& keys, const Tensor& values, Tensor& to) {
        attention_plain(q.view(), keys.view(), values.view(), to.view());
    };
    CHECK_THROWS_WITH_AS(mix(wide, k, out), "attention: k: expected shape [2, 4], found [2, 5]",
                         Error);
    CHECK_THROWS_WITH_AS(mix(k, many, out), "attention: v: expected shape [2, 4], found [1, 4]",
                         Error);
    CHECK_THROWS_WITH_AS(mix(k, k, narrow), "attention: out: expected shape [4], found [3]",
                         Error);
    CHECK_THROWS_WITH_AS(mix(none, none, out), "attention: a query must see at least one slot",
                         Error);
    CHECK_NOTHROW(mix(many, many, out));

    const SimdLevel level = default_simd_level();
    AttentionRows rows(level, 16, 16);
    CHECK_THROWS_WITH_AS(rows.start(0), "attention: 1 to 6 rows, found 0", Error);
    CHECK_THROWS_WITH_AS(rows.start(7), "attention: 1 to 6 rows, found 7", Error);
    for (const Index n : {1, 6}) CHECK_NOTHROW(rows.start(n));
    CHECK_THROWS_WITH_AS(AttentionRows(level, 0, 16),
                         "attention: head_dim must be 1 to 256, found 0", Error);
    CHECK_THROWS_WITH_AS(AttentionRows(level, 257, 272),
                         "attention: head_dim must be 1 to 256, found 257", Error);
    CHECK_NOTHROW(AttentionRows(level, 1, 16));
    CHECK_NOTHROW(AttentionRows(level, 256, 256));
    CHECK_THROWS_WITH_AS(attention_kernels(static_cast<SimdLevel>(99)),
                         concat("SIMD level ", simd_level_name(static_cast<SimdLevel>(99)),
                                " is not supported by this processor or not built in")
                             .c_str(),
                         Error);
    for (const SimdLevel other : {SimdLevel::avx2, SimdLevel::avx512}) {
        const auto& levels = supported_simd_levels();
        const bool supported = std::find(levels.begin(), levels.end(), other) != levels.end();
        CHECK((error_of([&] { attention_kernels(other); }) == "no error") == supported);
    }
}

TEST_CASE("messages: attention over tiles") {
    const KvTiles tiles(64, 2, 8);
    ThreadPool pool(1);
    const auto attend = [&](const View<const float>& q, Index past, const View<float>& out) {
        return attend_tiles(default_simd_level(), pool, q, tiles, past, out).pairs;
    };
    const Tensor q({2, 4, 8}), wide({2, 4, 9}), odd({2, 3, 8}), strided({2, 8, 4});
    Tensor out({2, 4, 8}), fewer({1, 4, 8}), three({2, 3, 8}), columns({2, 8, 4});
    CHECK_THROWS_WITH_AS(attend(wide.view(), 0, out.view()),
                         "attend: q: expected shape [2, 4, 8], found [2, 4, 9]", Error);
    CHECK_THROWS_WITH_AS(attend(q.view(), 0, fewer.view()),
                         "attend: out: expected shape [2, 4, 8], found [1, 4, 8]", Error);
    CHECK_THROWS_WITH_AS(attend(strided.view().transposed(1, 2), 0, out.view()),
                         "attend: heads must be contiguous", Error);
    CHECK_THROWS_WITH_AS(attend(q.view(), 0, columns.view().transposed(1, 2)),
                         "attend: heads must be contiguous", Error);
    CHECK_THROWS_WITH_AS(attend(odd.view(), 0, three.view()),
                         "attend: 3 query heads do not share 2 KV heads evenly", Error);
    CHECK_THROWS_WITH_AS(attend(q.view(), -1, out.view()),
                         "attend: 2 slots behind -1 are outside of 64", Error);
    CHECK_THROWS_WITH_AS(attend(q.view(), 63, out.view()),
                         "attend: 2 slots behind 63 are outside of 64", Error);
    CHECK(attend(q.view(), 62, out.view()) == 4 * (63 + 64));
    CHECK(attend(q.view(), 0, out.view()) == 4 * (1 + 2));
}

TEST_CASE("messages: a slot is one of a head") {
    KvTiles tiles(64, 2, 2), more(65, 2, 2);
    const std::vector<float> key = {1.0f, 2.0f}, value = {3.0f, 4.0f}, three(3);
    const auto write = [&](Index head, Index slot) {
        tiles.write_slot(head, slot, key, value);
        return tiles.key(head, slot, 1);
    };
    CHECK_THROWS_WITH_AS(write(-1, 0), "kv tiles: there is no slot 0 of head -1", Error);
    CHECK_THROWS_WITH_AS(write(2, 0), "kv tiles: there is no slot 0 of head 2", Error);
    CHECK_THROWS_WITH_AS(write(0, -1), "kv tiles: there is no slot -1 of head 0", Error);
    CHECK_THROWS_WITH_AS(write(0, 64), "kv tiles: there is no slot 64 of head 0", Error);
    CHECK(write(0, 0) == 2.0f);
    CHECK(write(1, 63) == 2.0f);
    CHECK_THROWS_WITH_AS(tiles.write_slot(0, 0, three, three),
                         "kv tiles: a key of 3 and a value of 3 numbers", Error);
    CHECK_THROWS_WITH_AS(tiles.write_slot(0, 0, key, three),
                         "kv tiles: a key of 2 and a value of 3 numbers", Error);

    const auto copy = [&](Index head, Index from, Index to) {
        tiles.copy_slot(head, from, to);
        return tiles.value(head, to, 1);
    };
    CHECK_THROWS_WITH_AS(copy(-1, 0, 1), "rows: cannot copy slot 0 to 1 of head -1", Error);
    CHECK_THROWS_WITH_AS(copy(2, 0, 1), "rows: cannot copy slot 0 to 1 of head 2", Error);
    CHECK_THROWS_WITH_AS(copy(0, -1, 1), "rows: cannot copy slot -1 to 1 of head 0", Error);
    CHECK_THROWS_WITH_AS(copy(0, 64, 1), "rows: cannot copy slot 64 to 1 of head 0", Error);
    CHECK_THROWS_WITH_AS(copy(0, 1, -1), "rows: cannot copy slot 1 to -1 of head 0", Error);
    CHECK_THROWS_WITH_AS(copy(0, 1, 64), "rows: cannot copy slot 1 to 64 of head 0", Error);
    CHECK(copy(0, 0, 63) == 4.0f);
    CHECK(copy(1, 63, 0) == 4.0f);
    for (const KvTiles& other : {KvTiles(64, 1, 2), KvTiles(64, 2, 3)})
        CHECK_THROWS_WITH_AS(tiles.copy_slot_from(other, 0, 0, 1),
                             "kv tiles: cannot copy slot 0 to 1 of head 0", Error);
    tiles.copy_slot_from(more, 1, 127, 63);
    CHECK(tiles.value(1, 63, 1) == 0.0f);
}

TEST_CASE("messages: tiles of keys and values") {
    CHECK_THROWS_WITH_AS(tiles_for("t", 0, 2, 8),
                         "t: slots, kv_heads and head_dim must be positive, found 0, 2, 8",
                         Error);
    CHECK_THROWS_WITH_AS(tiles_for("t", 1, 0, 8),
                         "t: slots, kv_heads and head_dim must be positive, found 1, 0, 8",
                         Error);
    CHECK_THROWS_WITH_AS(tiles_for("t", 1, 2, 0),
                         "t: slots, kv_heads and head_dim must be positive, found 1, 2, 0",
                         Error);
    CHECK(tiles_for("t", 1, 1, 1) == 1);

    KvTiles tiles(64, 2, 8), more(65, 2, 8);
    const Tensor flat({2, 8}), rows = random_tensor({2, 2, 8}, 1);
    CHECK_THROWS_WITH_AS(tiles.write(0, flat.view(), flat.view()),
                         "rows: expected keys [T, Hkv, D], found [2, 8]", Error);
    CHECK_THROWS_WITH_AS(tiles.write(63, rows.view(), rows.view()),
                         "rows: 2 slots from 63 on are outside of 64", Error);
    CHECK_THROWS_WITH_AS(tiles.write(-1, rows.view(), rows.view()),
                         "rows: 2 slots from -1 on are outside of 64", Error);
    tiles.write(62, rows.view(), rows.view());
    CHECK(tiles.key(1, 63, 7) == rows(1, 1, 7));

    CHECK_THROWS_WITH_AS(more.copy_from(KvTiles(64, 1, 8), 1),
                         "rows: copy between different kinds or shapes", Error);
    CHECK_THROWS_WITH_AS(more.copy_from(KvTiles(64, 2, 7), 1),
                         "rows: copy between different kinds or shapes", Error);
    CHECK_THROWS_WITH_AS(more.copy_from(tiles, -1), "rows: cannot copy -1 slots", Error);
    CHECK_THROWS_WITH_AS(more.copy_from(tiles, 65), "rows: cannot copy 65 slots", Error);
    CHECK_THROWS_WITH_AS(tiles.copy_from(more, 65), "rows: cannot copy 65 slots", Error);
    CHECK_NOTHROW(more.copy_from(tiles, 0));
    more.copy_from(tiles, 64);
    KvTiles same(64, 2, 8);
    CHECK_NOTHROW(same.copy_from(more, 64));
    CHECK(more.value(1, 63, 7) == rows(1, 1, 7));
}

TEST_CASE("messages: shapes of stores") {
    CHECK_THROWS_WITH_AS(check_kv_shape("s", {1, 3, 2, 8}),
                         "s: 3 query heads do not share 2 KV heads evenly", Error);
    CHECK_NOTHROW(check_kv_shape("s", {1, 4, 2, 8}));
    CHECK_NOTHROW(check_kv_shape("s", {4096, 4096, 4096, 4096}));
    CHECK_THROWS_WITH_AS(check_kv_shape("s", {0, 4, 2, 8}),
                         "s: layers: expected 1 to 4096, found 0", Error);
    CHECK_THROWS_WITH_AS(check_kv_shape("s", {1, 4097, 2, 8}),
                         "s: query heads: expected 1 to 4096, found 4097", Error);
    CHECK_THROWS_WITH_AS(check_kv_shape("s", {1, 4, 0, 8}),
                         "s: KV heads: expected 1 to 4096, found 0", Error);
    CHECK_THROWS_WITH_AS(check_kv_shape("s", {1, 4, 2, 4097}),
                         "s: head_dim: expected 1 to 4096, found 4097", Error);
}

TEST_CASE("messages: the store without a cache keeps one layer at a time and no text") {
    WholeSequence store({2, 4, 2, 8}, 5);
    const Tensor rows = random_tensor({5, 2, 8}, 1);
    ThreadPool pool(1);
    const Tensor q({5, 4, 8});
    Tensor out({5, 4, 8});
    store.begin(5);
    for (const Index layer : {0, 1}) store.append(layer, rows.view(), rows.view());
    CHECK(store.attend(1, q.view(), out.view(), pool).pairs == 4 * 15);
    CHECK_THROWS_WITH_AS(store.attend(0, q.view(), out.view(), pool),
                         "no cache: the rows of layer 0 are gone", Error);
    store.abandon();
    CHECK_THROWS_WITH_AS(store.truncate(1), "no cache: cannot truncate 0 tokens to 1", Error);
    CHECK_NOTHROW(store.truncate(0));
}

TEST_SUITE_END();
