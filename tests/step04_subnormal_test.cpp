// Where the rungs of attention may differ: a power of two changes no bit of a number until the
// result is subnormal, or the power itself ends. Then it matters when a tile is scaled, and
// each rung has its own moment.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include <kvlab/cuda/ladders.hpp>
#include <kvlab/kvcache/kv_cache.hpp>

#include "device_support.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

constexpr Index kSlots = 3 * 64, kWidth = 4;

// Two slots of each tile, with whole scores; the other 62 have a weight of 0. A slot's key is
// its score, so that the query (1, 0, 0, 0) finds it; its value is in component 0.
struct ThreeTiles {
    float scores[3][2], values[3][2];

    Tensor rows(const float (&of)[3][2], float otherwise) const {
        Tensor rows({1, kSlots, kWidth});
        for (Index s = 0; s < kSlots; ++s)
            rows(0, s, 0) = s % 64 < 2 ? of[s / 64][s % 64] : otherwise;
        return rows;
    }

    Tensor keys() const { return rows(scores, -1000.0f); }

    Tensor all_values() const { return rows(values, 0.0f); }
};

Tensor query() {
    Tensor q({1, 1, kWidth});
    q(0, 0, 0) = 1.0f;
    return q;
}

float by_rung(const char* name, const ThreeTiles& tiles) {
    const DeviceArray<float> k(tiles.keys().flat(), "keys"),
        v(tiles.all_values().flat(), "values");
    const DeviceRows in(1, kWidth, query().flat()), out(1, kWidth);
    Scratch scratch;
    find_rung(attention_rungs(), name)
        .run({in.heads(1), k.get(), v.get(), 1, kSlots, kSlots - 1, out.heads(1), scratch});
    return out.values()[0];
}

// Chapter 3's cache: the engine of the CPU.
float by_cache(const ThreeTiles& tiles) {
    KvCache cache({1, 1, 1, kWidth}, kSlots);
    const Tensor keys = tiles.keys(), values = tiles.all_values();
    Tensor out({1, 1, kWidth});
    ThreadPool pool(1);
    for (Index s = 0; s < kSlots; ++s) {
        Tensor k({1, 1, kWidth}), v({1, 1, kWidth});
        k(0, 0, 0) = keys(0, s, 0);
        v(0, 0, 0) = values(0, s, 0);
        cache.begin(1);
        cache.append(0, k.view(), v.view());
        if (s + 1 == kSlots) cache.attend(0, query().view(), out.view(), pool);
        cache.commit();
    }
    return out(0, 0, 0);
}

// What the ways give, in this order: the row's largest maximum first (naive, staged); tile by
// tile (the CPU's cache, fused, split); tiles against their own maxima, then all parts against
// the largest (vector); weights against the largest so far (async).
void check_ways(const ThreeTiles& tiles, const std::vector<float>& expected) {
    const std::vector<std::vector<const char*>> ways = {
        {"naive", "staged"}, {"fused", "split"}, {"vector"}, {"async"}};
    for (std::size_t way = 0; way < ways.size(); ++way)
        for (const char* name : ways[way]) {
            CAPTURE(std::string(name));
            CHECK(by_rung(name, tiles) == expected[way]);
        }
    CHECK(by_cache(tiles) == expected[1]);
}

constexpr float kNone = -1000.0f;

}  // namespace

TEST_SUITE_BEGIN("step04");

TEST_CASE("attention: parts of ordinary size have the same bits whenever they are scaled") {
    check_ways({{{3, 2}, {5, 3}, {4, 4}}, {{1, 2}, {2, 3}, {1, 3}}}, {2, 2, 2, 2});
    // As below, with values of 1 and 1.5 in the place of numbers near 2^-86.
    const float rising = 0x1p-64f * 1.0f + 0x1p-63f * 1.5f;
    check_ways({{{0, kNone}, {1, kNone}, {64, kNone}}, {{1, 0}, {1.5f, 0}, {0, 0}}},
               {rising, rising, rising, rising});
    const float falling = 0x1p-63f * 1.0f + 0x1p-63f * 1.5f;
    check_ways({{{64, kNone}, {1, 1}, {kNone, kNone}}, {{0, 0}, {1, 1.5f}, {0, 0}}},
               {falling, falling, falling, falling});
}

TEST_CASE("attention: a power of two that ends at 2^-126 may differ from rung to rung") {
    // Against 128 a tile with the maximum 0 has the factor 2^-128, and pow2 has 0 for it. By
    // way of 64 its 8 becomes 8 * 2^-64 * 2^-64 = 2^-125, which is no subnormal number.
    check_ways({{{0, kNone}, {64, kNone}, {128, kNone}}, {{8, 0}, {0, 0}, {0, 0}}},
               {0, 0x1p-125f, 0, 0x1p-125f});
    // 2^-126 is the last factor.
    check_ways({{{2, kNone}, {64, kNone}, {128, kNone}}, {{8, 0}, {0, 0}, {0, 0}}},
               {0x1p-123f, 0x1p-123f, 0x1p-123f, 0x1p-123f});
}

TEST_CASE("attention: parts that become subnormal may differ from rung to rung") {
    // 2^-86 against 64 is 2^-150, half of the smallest float, and a tie: it becomes 0. Twice
    // that, added before it is scaled, is the smallest float.
    const float smallest = 0x1p-149f;
    check_ways({{{0, kNone}, {1, kNone}, {64, kNone}}, {{0x1p-86f, 0}, {0x1p-87f, 0}, {0, 0}}},
               {0, smallest, 0, smallest});
    check_ways({{{64, kNone}, {1, 1}, {kNone, kNone}}, {{0, 0}, {0x1p-87f, 0x1p-87f}, {0, 0}}},
               {0, smallest, smallest, 0});
    // A larger number in the same component, and the difference is rounded away.
    check_ways({{{0, kNone}, {1, kNone}, {64, kNone}}, {{0x1p-86f, 0}, {0x1p-87f, 0}, {1, 0}}},
               {1, 1, 1, 1});
}

TEST_SUITE_END();
