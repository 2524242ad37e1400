// Step 6: quantised stores in wrong hands: refused, and as good as before.
#include <doctest/doctest.h>

#include <limits>
#include <string>
#include <type_traits>
#include <utility>

#include <kvlab/quant/coded_rows.hpp>
#include <kvlab/quant/coded_tiles.hpp>
#include <kvlab/quant/latent_rows.hpp>
#include <kvlab/quant/uncached_quant.hpp>

#include "store_misuse.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

std::vector<std::pair<std::string, QuantOptions>> quant_kinds() {
    std::vector<std::pair<std::string, QuantOptions>> kinds;
    for (const Format code : coded_formats()) {
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

TEST_CASE("misuse: calls in another order than a step's are refused with every format") {
    const KvShape shape{2, 4, 2, 32};
    Tensor bad({2, 2, 32});
    bad(1, 1, 31) = std::numeric_limits<float>::quiet_NaN();
    for (const auto& [name, options] : quant_kinds()) {
        const auto& which = name;  // clang 14 captures no binding
        const QuantOptions& wanted = options;
        CAPTURE(which);
        const auto make = [&] {
            return std::make_unique<KvCache>(shape, 40, coded_rows(wanted));
        };
        check_step_protocol(make, HostRows(shape));
        check_step_protocol([&] { return std::make_unique<UncachedQuant>(shape, 40, wanted); },
                            HostRows(shape));
        const auto store = make(), good = make();
        for (KvCache* cache : {store.get(), good.get()}) run_step(*cache, HostRows(shape), 5);
        // Floats keep whatever comes.
        if (wanted.keys != &formats::f32) check_failed_step(*store, bad.view());
        CHECK(run_step(*store, HostRows(shape), 2) == run_step(*good, HostRows(shape), 2));
    }
}

TEST_CASE("misuse: shapes and capacities that cannot be are refused") {
    for (const auto& kind : quant_kinds()) {
        CAPTURE(kind.first);
        const StoreOfShape make = [&](const KvShape& shape, Index capacity) {
            return std::make_unique<KvCache>(shape, capacity, coded_rows(kind.second));
        };
        check_bad_shapes(make);
        check_huge_capacities(make);
    }
}

TEST_CASE("misuse: coded tiles and latents of sizes that cannot be are refused") {
    constexpr Index kMost = std::numeric_limits<Index>::max();
    std::vector<Index> sizes = {0, -1, kMost, kMost - 62};
    for (int e = 50; e <= 62; ++e) sizes.push_back(Index{1} << e);
    for (const Index n : sizes) {
        CAPTURE(n);
        for (const Format code :
             {&formats::f32, &formats::f16, &formats::q4_0, &formats::kivi2}) {
            CHECK_THROWS_AS(CodedTiles(code, CodedTiles::Side::keys, n, 2, 32), Error);
            CHECK_THROWS_AS(CodedTiles(code, CodedTiles::Side::values, 64, n, 32), Error);
        }
        CHECK_THROWS_AS(coded_rows({})({0, n, 2, 32}), Error);
        for (const Format format : {&formats::f32, &formats::int8}) {
            CHECK_THROWS_AS(Latents(n, 8, true, format), Error);
            CHECK_THROWS_AS(Latents(64, n, false, format), Error);
        }
        CHECK_THROWS_AS(RecentRows(n == 0 ? kMost : n, 2, 32), Error);
    }
    Latents latents(3, 2, true, &formats::f32);
    const float row[] = {1, 2};
    CHECK_NOTHROW(latents.write(63, row));
    CHECK_THROWS_AS(latents.write(64, row), Error);
    CHECK_THROWS_AS(latents.write(-1, row), Error);
    CHECK_THROWS_AS(latents.write(kMost, row), Error);
    Latents moved = std::move(latents);
    CHECK_NOTHROW(moved.write(63, row));
    CHECK_THROWS_AS(latents.write(0, row), Error);  // NOLINT(bugprone-use-after-move)
}

TEST_CASE("misuse: coded tiles that were moved from refuse rows") {
    CodedTiles from(&formats::f16, CodedTiles::Side::keys, 64, 2, 32);
    const std::vector<float> row(32, 1.5f);
    from.write(1, 5, row);
    const CodedTiles to = std::move(from);
    CHECK(to.number(1, 5, 31) == 1.5f);
    CHECK_THROWS_AS(from.write(1, 5, row), Error);   // NOLINT(bugprone-use-after-move)
    CHECK_THROWS_AS(from.number(1, 5, 0), Error);    // NOLINT(bugprone-use-after-move)
    CHECK_THROWS_AS(from.copy_from(to, 64), Error);  // NOLINT(bugprone-use-after-move)
}

TEST_SUITE_END();
