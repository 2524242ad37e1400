// Steps 2 and 3: stores and tiles in wrong hands. Each misuse is an Error, and the
// store goes on.
#include <doctest/doctest.h>

#include <limits>
#include <type_traits>
#include <utility>

#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/generate.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/kvcache/closed_forms.hpp>
#include <kvlab/kvcache/kv_format.hpp>
#include <kvlab/kvcache/narrow_tiles.hpp>
#include <kvlab/kvcache/split_store.hpp>

#include "models.hpp"
#include "sanitizers.hpp"
#include "skip.hpp"
#include "store_misuse.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

constexpr Index kMostOfAll = std::numeric_limits<Index>::max();

std::vector<std::pair<const char*, StoreOfShape>> plain_stores() {
    std::vector<std::pair<const char*, StoreOfShape>> stores;
    for (const Format format : kv_formats())
        stores.emplace_back(format->name, [=](const KvShape& shape, Index capacity) {
            return make_cache(format, shape, capacity);
        });
    stores.emplace_back("whole", [](const KvShape& shape, Index capacity) {
        return std::make_unique<WholeSequence>(shape, capacity);
    });
    stores.emplace_back("naive", [](const KvShape& shape, Index capacity) {
        return std::make_unique<NaiveCache>(shape, capacity);
    });
    for (const bool remembers : {true, false})
        stores.emplace_back("split", [=](const KvShape& shape, Index capacity) {
            return std::make_unique<SplitStore>(shape, capacity, remembers);
        });
    return stores;
}

template <class Tiles>
void check_moved_tiles() {
    Tiles from(70, 2, 16);
    const Tensor rows = random_tensor({3, 2, 16}, 5);
    from.write(0, rows.view(), rows.view());
    Tiles to = std::move(from);
    CHECK(to.slots() == 128);
    CHECK(from.slots() == 0);  // NOLINT(bugprone-use-after-move)
    CHECK_THROWS_AS(from.write(0, rows.view(), rows.view()), Error);
    CHECK_THROWS_AS(from.copy_from(to, 1), Error);
    CHECK_THROWS_AS(to.copy_from(from, 1), Error);
    from = std::move(to);
    CHECK_NOTHROW(from.write(67, rows.view(), rows.view()));
    CHECK_THROWS_AS(from.write(126, rows.view(), rows.view()), Error);
    CHECK_THROWS_AS(from.write(kMostOfAll, rows.view(), rows.view()), Error);
    CHECK_THROWS_AS(from.write(-1, rows.view(), rows.view()), Error);
}

}  // namespace

TEST_SUITE_BEGIN("step03");

// What is not movable cannot be moved from.
static_assert(!std::is_move_constructible_v<KvCache> && !std::is_move_assignable_v<KvCache>);
static_assert(!std::is_move_constructible_v<NaiveCache> &&
              !std::is_copy_assignable_v<NaiveCache>);
static_assert(!std::is_move_constructible_v<WholeSequence>);

TEST_CASE("misuse: calls in another order than a step's are refused and change nothing") {
    const KvShape shape{3, 4, 2, 32};
    for (const auto& [name, make] : plain_stores()) {
        const auto& which = name;  // clang 14 captures no binding
        CAPTURE(which);
        const StoreOfShape& made = make;
        check_step_protocol([&] { return made(shape, 20); }, HostRows(shape));
    }
    KvCache cache({2, 4, 2, 8}, 5);
    CHECK_THROWS_WITH_AS(cache.commit(), "kv cache: a step ends with 0 of 2 layers", Error);
}

TEST_CASE("misuse: after a step that failed a store is as it was before") {
    const KvShape shape{2, 4, 2, 8};
    Tensor bad({2, 2, 8});
    bad(1, 1, 7) = std::numeric_limits<float>::infinity();
    for (const Format format : {&formats::f16, &formats::int8}) {
        CAPTURE(std::string(format->name));
        const auto store = make_cache(format, shape, 20), good = make_cache(format, shape, 20);
        const HostRows rows(shape);
        run_step(*store, rows, 3);
        run_step(*good, rows, 3);
        check_failed_step(*store, bad.view());
        CHECK(run_step(*store, rows, 2) == run_step(*good, rows, 2));
    }
}

TEST_CASE("misuse: shapes and capacities that cannot be are refused") {
    for (const auto& [name, make] : plain_stores()) {
        const auto& which = name;  // clang 14 captures no binding
        CAPTURE(which);
        check_bad_shapes(make);
        // What grows with the tokens that come takes any capacity.
        if (std::string(name) != "naive" && std::string(name) != "split")
            check_huge_capacities(make);
    }
    CHECK_THROWS_WITH_AS(KvCache({0, 4, 2, 8}, 5),
                         "kv cache: layers: expected 1 to 4096, found 0", Error);
    CHECK_THROWS_WITH_AS(make_cache(&formats::f16, {2, 4, 2, 8}, Index{1} << 60),
                         doctest::Contains("rows: 2 x 2 x 18014398509481984 x 64 x 1 x 16 x 4"),
                         Error);
    for (const Format format : kv_formats())
        CHECK_THROWS_AS(format->token_bytes({-1, 4, 2, 8}), Error);
}

TEST_CASE("misuse: a cache that is too large says how many bytes there are no room for") {
    if (KVLAB_SANITIZED != 0) {
        test::skip("this sanitizer ends the program when memory is refused");
        return;
    }
    for (const Format format : kv_formats())
        CHECK_THROWS_WITH_AS(make_cache(format, {2, 4, 2, 32}, Index{1} << 37),
                             doctest::Contains("memory: this machine has no room for"), Error);
}

TEST_CASE("misuse: tiles that were moved from hold no slots") {
    check_moved_tiles<KvTiles>();
    check_moved_tiles<F16Tiles>();
    check_moved_tiles<Int8Tiles>();
}

TEST_CASE("misuse: closed forms refuse what does not fit in 64 bits") {
    CHECK(tokens_processed(10, 3, false) == 10 + 11 + 12);
    CHECK_THROWS_AS(tokens_processed(kMostOfAll, kMostOfAll, false), Error);
    CHECK_THROWS_AS(tokens_processed(kMostOfAll, 2, true), Error);
    CHECK_THROWS_AS(tokens_processed(1, Index{1} << 33, false), Error);
    CHECK(tokens_processed(kMostOfAll - 1, 2, true) == kMostOfAll);
    const CacheShape shape{32, 8, 128};
    CHECK(shape.total(4096, 2) == 2 * 32 * 8 * 128 * 2 * Index{4096} * 2);
    CHECK_THROWS_AS(shape.total(Index{1} << 47), Error);
    CHECK_THROWS_AS(shape.total(-1), Error);
    for (const CacheShape& bad : {CacheShape{0, 8, 128}, CacheShape{32, -8, 128},
                                  CacheShape{32, 8, kMostOfAll}, CacheShape{32, 8, 128, 0}}) {
        CHECK_THROWS_AS(bad.per_token(), Error);
        CHECK_THROWS_AS(bad.crossover(1000), Error);
    }
    CHECK_THROWS_AS(projection_flops(Index{1} << 40, Index{1} << 20, 64, 8, 128), Error);
}

TEST_CASE("misuse: a generator refuses more steps than can be counted") {
    const auto engine = make_cpu_engine();
    Decoder decoder(load_model(*make_synthetic(small_config(), 3), *engine), *engine);
    KvCache cache(decoder.kv_shape(), 40);
    Generator generator(decoder);
    const std::vector<Token> prompt = {1, 2, 3};
    CHECK_THROWS_WITH_AS(
        generator.add(cache, prompt, kMostOfAll),
        "generate: prompt and steps: 3 + 9223372036854775807 does not fit in 64 bits", Error);
    CHECK_THROWS_AS(generator.add(cache, prompt, -1), Error);
    CHECK(generator.sequences() == 0);
    const Index number = generator.add(cache, prompt, kMostOfAll - 3);  // until it is full
    generator.run();
    CHECK(generator.finish(number) == Finish::context_full);
    CHECK(generator.tokens(number).size() == 41);
}

TEST_SUITE_END();
