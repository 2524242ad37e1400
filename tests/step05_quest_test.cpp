// Step 5: Quest, which keeps everything and reads a part. Mistakes in mind: a bound that is
// none, a stale summary of a page, the missing slots of the last page, pages of the
// wrong KV head.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include <kvlab/attention/attention.hpp>
#include <kvlab/kvcache/kv_cache.hpp>
#include <kvlab/policies/quest_cache.hpp>
#include <kvlab/tensor/numerics.hpp>

#include "policy_support.hpp"
#include "random_steps.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

// The last page of 8 slots and those with the largest bounds, by the definition.
std::vector<Index> plain_pages(const std::vector<std::vector<float>>& keys,
                               const float* q,
                               std::size_t wanted) {
    std::vector<std::pair<float, Index>> bounds;
    for (std::size_t first = 0; first < keys.size(); first += 8) {
        float bound = 0;
        for (std::size_t i = 0; i < 12; ++i) {
            float low = keys[first][i], high = low;
            for (std::size_t s = first; s < std::min(first + 8, keys.size()); ++s) {
                low = std::min(low, keys[s][i]);
                high = std::max(high, keys[s][i]);
            }
            bound += std::max(q[i] * low, q[i] * high);
        }
        if (first + 8 >= keys.size()) bound = INFINITY;  // the last page is always read
        bounds.emplace_back(-bound, static_cast<Index>(first / 8));
    }
    std::sort(bounds.begin(), bounds.end());
    bounds.resize(std::min(bounds.size(), wanted));
    std::vector<Index> pages;
    for (const auto& one : bounds) pages.push_back(one.second);
    std::sort(pages.begin(), pages.end());
    return pages;
}

// Attention of one token, by the definition, over the slots of these pages.
std::vector<float> plain_attention(const std::vector<std::vector<float>>& keys,
                                   const std::vector<std::vector<float>>& values,
                                   const std::vector<Index>& pages,
                                   const View<const float>& q) {
    std::vector<std::size_t> slots;
    for (const Index page : pages)
        for (auto s = usize(page * 8); s < std::min(usize(page * 8 + 8), keys.size()); ++s)
            slots.push_back(s);
    const Index S = std::ssize(slots);
    Tensor k({S, 12}), v({S, 12}), out({12});
    for (Index s = 0; s < S; ++s) {
        std::copy_n(keys[at(slots, s)].data(), 12, &k(s, 0));
        std::copy_n(values[at(slots, s)].data(), 12, &v(s, 0));
    }
    attention_plain(q, k.view(), v.view(), out.view());
    return {out.flat().begin(), out.flat().end()};
}

PolicyOptions quest_options() {
    PolicyOptions options;
    options.page = 8;
    options.budget = 33;  // five pages
    options.whole_layers = 2;
    return options;
}

}  // namespace

TEST_SUITE_BEGIN("step05");

TEST_CASE("quest: a page's bound is at least every score of it and a page of one meets it") {
    for (std::uint64_t seed = 0; seed < 200; ++seed) {
        const std::vector<float> q = normals(20, seed), keys = normals(160, 1000 + seed);
        std::vector<float> low(keys.begin(), keys.begin() + 20), high = low;
        for (std::size_t i = 0; i < keys.size(); ++i) {
            low[i % 20] = std::min(low[i % 20], keys[i]);
            high[i % 20] = std::max(high[i % 20], keys[i]);
        }
        const float bound = page_bound(q, low.data(), high.data());
        // The two sums round differently: each of 20 terms of about 1, to 2^-24.
        constexpr float kRounding = 1e-5f;
        for (Index s = 0; s < 8; ++s)
            CHECK(bound >= dot(q.data(), keys.data() + s * 20, 20) - kRounding);
        CHECK(std::fabs(page_bound(q, keys.data(), keys.data()) -
                        dot(q.data(), keys.data(), 20)) <= kRounding);
    }
}

TEST_CASE("quest: attention is the plain loop over the slots of the best pages") {
    Rng rng(4);
    QuestCache quest(kPairShape, 200, quest_options());
    KvCache full(kPairShape, 200);
    for (Index number = 0; number < 60; ++number) {
        if (number % 17 == 16) {  // an unfinished step, and going back into a page
            quest.begin(9);
            quest.append(0, RandomRows(0, 999, 9).k.view(), RandomRows(0, 999, 9).v.view());
            quest.abandon();
            const Index length = quest.next_position() - rng.below(12);
            quest.truncate(length);
            full.truncate(length);
        }
        const Index T = number == 0 ? 77 : number % 10 == 9 ? 5 : 1;
        const auto expected = step_all({&full}, number, T),
                   found = step_all({&quest}, number, T);
        const Index n = full.next_position();
        if (T > 1) CHECK(found == expected);  // several tokens read everything
        if (T > 1) continue;
        for (Index layer = 0; layer < kPairShape.layers; ++layer)
            for (Index head = 0; head < 4; ++head) {
                std::vector<std::vector<float>> keys, values;
                for (Index p = 0; p < n; ++p) {
                    keys.emplace_back();
                    values.emplace_back();
                    for (Index i = 0; i < 12; ++i) {
                        keys.back().push_back(full.key(layer, head / 2, p, i));
                        values.back().push_back(full.value(layer, head / 2, p, i));
                    }
                }
                const RandomRows rows(layer, number, 1);
                const View<const float> q = rows.q.view()[0][head];
                const auto pages = plain_pages(keys, q.data(), layer < 2 ? 1000 : 5);
                if (layer >= 2) CHECK(quest.pages(layer, head, q.flat(), n) == pages);
                const auto plain = plain_attention(keys, values, pages, q);
                REQUIRE(std::equal(plain.begin(), plain.end(),
                                   found.begin() + (layer * 4 + head) * 12));
            }
    }
    const auto copy = quest.fork();
    CHECK(step_all({copy.get()}, 70, 1) == step_all({&quest}, 70, 1));
    PolicyOptions wrong = quest_options();
    wrong.page = 24;
    CHECK_THROWS_AS(QuestCache(kPairShape, 100, wrong), Error);
}

TEST_SUITE_END();
