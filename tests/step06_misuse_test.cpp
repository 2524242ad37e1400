// Step 6: quantised stores in wrong hands: refused, and as good as before.
#include <doctest/doctest.h>

#include <limits>
#include <string>
#include <type_traits>
#include <utility>

#include <kvlab/quant/coded_tiles.hpp>
#include <kvlab/quant/latent_tiles.hpp>
#include <kvlab/quant/quant_cache.hpp>
#include <kvlab/quant/quant_slots.hpp>
#include <kvlab/quant/uncached_quant.hpp>

#include "store_misuse.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

std::vector<std::pair<std::string, QuantOptions>> quant_kinds() {
    std::vector<std::pair<std::string, QuantOptions>> kinds;
    for (const KvCode code : kKvCodes) {
        QuantOptions options;
        options.keys = options.values = code;
        options.residual = 32;
        for (const Index sinks : {0, 2}) {
            options.sinks = sinks;
            kinds.emplace_back(quant_name(options), options);
        }
    }
    return kinds;
}

}  // namespace

TEST_SUITE_BEGIN("step06");

static_assert(!std::is_move_constructible_v<QuantCache>);

TEST_CASE("6.3 misuse: attend outside of a step or with other shapes is refused") {
    for (const auto& [name, options] : quant_kinds()) {
        const auto& which = name;  // clang 14 captures no binding
        CAPTURE(which);
        QuantCache cache({2, 4, 2, 32}, 40, options);
        check_attend_misuse(cache);
        UncachedQuant uncached({2, 4, 2, 32}, 40, options);
        check_attend_misuse(uncached);
    }
}

TEST_CASE("6.3 misuse: shapes and capacities that cannot be are refused") {
    for (const auto& kind : quant_kinds()) {
        CAPTURE(kind.first);
        const StoreOfShape make = [&](const KvShape& shape, Index capacity) {
            return std::make_unique<QuantCache>(shape, capacity, kind.second);
        };
        check_bad_shapes(make);
        check_huge_capacities(make);
    }
}

TEST_CASE("6.3 misuse: coded tiles and latents of sizes that cannot be are refused") {
    constexpr Index kMost = std::numeric_limits<Index>::max();
    std::vector<Index> sizes = {0, -1, kMost, kMost - 62};
    for (int e = 50; e <= 62; ++e) sizes.push_back(Index{1} << e);
    for (const Index n : sizes) {
        CAPTURE(n);
        for (const KvCode code : {KvCode::f32, KvCode::f16, KvCode::q4_0, KvCode::kivi2}) {
            CHECK_THROWS_AS(CodedTiles(code, CodedTiles::Side::keys, n, 2, 32), Error);
            CHECK_THROWS_AS(CodedTiles(code, CodedTiles::Side::values, 64, n, 32), Error);
        }
        CHECK_THROWS_AS(quant_slots({}, default_simd_level())(n, 2, 32), Error);
        for (const LatentFormat format : {LatentFormat::f32, LatentFormat::int8}) {
            CHECK_THROWS_AS(Latents(n, 8, true, format), Error);
            CHECK_THROWS_AS(Latents(64, n, false, format), Error);
        }
        CHECK_THROWS_AS(RecentRows(n == 0 ? kMost : n, 2, 32), Error);
    }
    Latents latents(3, 2, true, LatentFormat::f32);
    const float row[] = {1, 2};
    CHECK_NOTHROW(latents.write(63, row));
    CHECK_THROWS_AS(latents.write(64, row), Error);
    CHECK_THROWS_AS(latents.write(-1, row), Error);
    CHECK_THROWS_AS(latents.write(kMost, row), Error);
    Latents moved = std::move(latents);
    CHECK_NOTHROW(moved.write(63, row));
    CHECK_THROWS_AS(latents.write(0, row), Error);  // NOLINT(bugprone-use-after-move)
}

TEST_CASE("6.3 misuse: coded tiles that were moved from refuse rows") {
    CodedTiles from(KvCode::f16, CodedTiles::Side::keys, 64, 2, 32);
    const std::vector<float> row(32, 1.5f);
    from.write(1, 5, row);
    const CodedTiles to = std::move(from);
    CHECK(to.number(1, 5, 31) == 1.5f);
    CHECK_THROWS_AS(from.write(1, 5, row), Error);   // NOLINT(bugprone-use-after-move)
    CHECK_THROWS_AS(from.number(1, 5, 0), Error);    // NOLINT(bugprone-use-after-move)
    CHECK_THROWS_AS(from.copy_from(to, 64), Error);  // NOLINT(bugprone-use-after-move)
}

TEST_SUITE_END();
