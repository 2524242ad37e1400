// Step 6: quantised caches under random operations, against a plain list of the rows that were
// appended. Mistakes in mind: a residual that loses rows when a long step takes more room,
// codes of an abandoned step that stay, a fork that shares, a truncation that keeps too much or
// refuses too much, a step that fails in its middle and is felt later.
#include <doctest/doctest.h>

#include <algorithm>
#include <limits>

#include <kvlab/quant/uncached_quant.hpp>
#include <kvlab/tensor/checksum.hpp>

#include "random_data.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

constexpr KvShape kListShape{1, 2, 1, 32};  // one layer: others are kept like it
constexpr Index kListRoom = 270;

// What a cache has to remember: every row that was appended.
struct RowList {
    Index length = 0;
    std::vector<float> keys, values;  // [length, D]

    void cut(Index to) {
        length = to;
        for (auto* const side : {&keys, &values}) side->resize(usize(to * kListShape.head_dim));
    }
};

struct ListRun {
    std::unique_ptr<KvStore> cache;
    RowList list;
};

// Ordinary rows, zeros, rows that are subnormal in f32 or in f16, and some `most`
// times as large.
Tensor rows_of(Index T, float most, Rng& rng) {
    Tensor rows({T, 1, kListShape.head_dim});
    for (Index t = 0; t < T; ++t) {
        const Index kind = rng.below(12);
        const float size = kind == 0   ? 0.0f
                           : kind == 1 ? 1e-40f  // subnormal
                           : kind == 2 ? 1e-6f   // subnormal in f16
                           : kind == 3 ? most
                                       : 1.0f;
        for (Index i = 0; i < kListShape.head_dim; ++i) rows(t, 0, i) = rng.normal() * size;
    }
    return rows;
}

Tensor all_rows(const std::vector<float>& numbers) {
    const auto n = std::ssize(numbers) / kListShape.head_dim;
    Tensor rows({n, 1, kListShape.head_dim});
    std::copy(numbers.begin(), numbers.end(), rows.data());
    return rows;
}

// Scores may not spread farther than the contract's rule 3 allows for, values may
// have any size.
constexpr float kLargeKey = 10.0f, kLargeValue = 5000.0f;

Tensor queries_of(Index T, Rng& rng) {
    Tensor q({T, kListShape.heads, kListShape.head_dim});
    for (float& x : q.flat()) x = rng.normal() * 0.25f;  // about log2(e) / sqrt(D)
    return q;
}

// T tokens into both; what attention makes of them has to be equal in every bit.
void step_list(
    ListRun& run, const QuantOptions& options, const RopeTable& rope, Index T, Rng& rng) {
    ThreadPool pool(1);
    const Index past = run.list.length, n = past + T;
    run.cache->begin(T);
    const Tensor k = rows_of(T, kLargeKey, rng), v = rows_of(T, kLargeValue, rng);
    const Tensor q = queries_of(T, rng);
    Tensor out({T, 2, kListShape.head_dim});
    run.cache->append(0, k.view(), v.view());
    run.cache->attend(0, q.view(), out.view(), pool);

    auto &keys = run.list.keys, &values = run.list.values;
    keys.insert(keys.end(), k.flat().begin(), k.flat().end());
    values.insert(values.end(), v.flat().begin(), v.flat().end());
    UncachedQuant plain(kListShape, n, options, &rope);
    plain.begin(n);
    plain.ask_from(past);
    plain.append(0, all_rows(keys).view(), all_rows(values).view());
    Tensor queries({n, 2, kListShape.head_dim}), expected(queries.shape());
    std::copy(q.flat().begin(), q.flat().end(), &queries(past, 0, 0));
    plain.attend(0, queries.view(), expected.view(), pool);
    CHECK(compare_bits(out.flat(), expected.view().slice(0, past, n).flat()).differ == 0);
    run.cache->commit();
    run.list.length = n;
    CHECK(run.cache->next_position() == n);
}

// A step that stops where the decoder would: behind a layer, or at a row that is refused.
void abandon_step(ListRun& run, Rng& rng) {
    const Index T = std::min<Index>(1 + rng.below(70), run.cache->room());
    if (T == 0) return;
    Tensor k = rows_of(T, kLargeKey, rng), v = rows_of(T, kLargeValue, rng);
    const float wrong[] = {std::numeric_limits<float>::quiet_NaN(),
                           std::numeric_limits<float>::infinity(),
                           -std::numeric_limits<float>::infinity()};
    run.cache->begin(T);
    if (rng.below(2) == 0) {
        run.cache->append(0, k.view(), v.view());
        run.cache->abandon();
        return;
    }
    Tensor& bad = rng.below(2) == 0 ? k : v;
    bad(rng.below(T), 0, rng.below(kListShape.head_dim)) = wrong[rng.below(3)];
    CHECK_THROWS_AS(run.cache->append(0, k.view(), v.view()), Error);
    run.cache->abandon();
}

// Whether nothing that waited behind `to` tokens has become codes since.
bool may_go_back(const QuantOptions& options, Index length, Index to) {
    if (to == length || to == 0) return true;
    const auto same = [&](Format code, bool keys) {
        const Index R = options.residual;
        if (!code->waits) return true;
        return keys ? to / R == length / R : length <= R;
    };
    return same(options.keys, true) && same(options.values, false);
}

void go_back(ListRun& run, const QuantOptions& options, Index to) {
    if (may_go_back(options, run.list.length, to)) {
        run.cache->truncate(to);
        run.list.cut(to);
    } else {
        CHECK_THROWS_WITH_AS(run.cache->truncate(to), doctest::Contains("codes now"), Error);
    }
    CHECK(run.cache->next_position() == run.list.length);
}

void operate_at_random(const QuantOptions& options, Index operations, Rng& rng) {
    CAPTURE(quant_name(options));
    const RopeTable rope(kListRoom, 32, 10000.0);
    constexpr Index kPieces[] = {1, 1, 1, 1, 2, 7, 31, 32, 33, 63, 64, 65, 127, 128, 129};
    std::vector<ListRun> runs(1);
    runs[0].cache =
        std::make_unique<KvCache>(kListShape, kListRoom, coded_rows(options), &rope);
    for (Index number = 0; number < operations; ++number) {
        CAPTURE(number);
        ListRun& run = at(runs, rng.below(std::ssize(runs)));
        const Index what = rng.below(12);
        if (what == 0) {
            ListRun copy{run.cache->fork(), run.list};
            if (runs.size() == 3) runs.erase(runs.begin());
            runs.push_back(std::move(copy));
        } else if (what == 1) {
            abandon_step(run, rng);
        } else if (what <= 3) {
            go_back(run, options, rng.below(run.list.length + 1));
        } else if (what == 4 && rng.below(3) == 0) {
            run.cache->reset();
            run.list.cut(0);
        } else {
            const Index T = kPieces[rng.below(std::size(kPieces))];
            if (T <= run.cache->room())
                step_list(run, options, rope, T, rng);
            else
                CHECK_THROWS_AS(run.cache->begin(run.cache->room() + 1), Error);
        }
    }
    for (ListRun& run : runs)
        if (run.cache->room() > 0) step_list(run, options, rope, 1, rng);
}

}  // namespace

TEST_SUITE_BEGIN("step06");

TEST_CASE("kv random: any operations in any order leave what a plain list has") {
    Rng rng(61);
    const Index codes = std::ssize(coded_formats());
    for (Index c = 0; c < codes; ++c) {
        const Format code = at(coded_formats(), c),
                     other = at(coded_formats(), rng.below(codes));
        operate_at_random({code, code, false, false, 0, 32}, 12, rng);
        operate_at_random({code, other, true, false, 3, 64}, 12, rng);
        const QuantOptions before_rope{other, code, false, true, 40, 96};
        if (!before_rope.turns()) operate_at_random(before_rope, 12, rng);
    }
}

TEST_SUITE_END();
