// Step 5: Quest, which keeps everything and reads a part. Mistakes in mind: a bound that is
// none, a stale summary of a page, the missing slots of the last page, pages of the
// wrong KV head, a layer too many or too few that is read whole, a newest page that is read
// though it has to win its place.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include <kvlab/attention/attention.hpp>
#include <kvlab/kvcache/kv_cache.hpp>
#include <kvlab/policies/policy_bytes.hpp>
#include <kvlab/policies/quest_cache.hpp>
#include <kvlab/tensor/numerics.hpp>

#include "policy_support.hpp"
#include "random_steps.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

// The pages of 8 slots with the largest bounds, by the definition; the newest among them
// whatever its bound, if so.
std::vector<Index> plain_pages(const std::vector<std::vector<float>>& keys,
                               const float* q,
                               std::size_t wanted,
                               bool newest) {
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
        if (newest && first + 8 >= keys.size()) bound = INFINITY;
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
    return options;
}

// All keys and values that a KV head holds, [slots][12].
struct HeadRows {
    HeadRows(const KvCache& cache, Index layer, Index kv_head) {
        for (Index p = 0; p < cache.next_position(); ++p) {
            keys.emplace_back();
            values.emplace_back();
            for (Index i = 0; i < 12; ++i) {
                keys.back().push_back(cache.key(layer, kv_head, p, i));
                values.back().push_back(cache.value(layer, kv_head, p, i));
            }
        }
    }

    std::vector<std::vector<float>> keys, values;
};

// 60 steps of tokens one by one and several at a time, of which one is left unfinished and some
// are taken back: each must be attention over the slots of the best pages. Returns how often a
// head left out the newest page.
int check_steps(QuestCache& quest, Index whole, bool newest) {
    Rng rng(4);
    KvCache full(kPairShape, 200);
    int left_out = 0;
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
        if (T > 1) CHECK(found == expected);  // several tokens read everything
        if (T > 1) continue;
        for (Index layer = 0; layer < kPairShape.layers; ++layer)
            for (Index head = 0; head < 4; ++head) {
                const HeadRows rows(full, layer, head / 2);
                const Index n = full.next_position();
                const RandomRows step(layer, number, 1);
                const View<const float> q = step.q.view()[0][head];
                const auto pages =
                    plain_pages(rows.keys, q.data(), layer < whole ? 1000 : 5, newest);
                CHECK(quest.pages(layer, head, q.flat(), n) == pages);
                left_out += pages.back() * 8 + 8 < n ? 1 : 0;
                const auto plain = plain_attention(rows.keys, rows.values, pages, q);
                REQUIRE(std::equal(plain.begin(), plain.end(),
                                   found.begin() + (layer * 4 + head) * 12));
            }
    }
    return left_out;
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
    QuestCache quest(kPairShape, 200, quest_options());
    CHECK(check_steps(quest, 2, true) == 0);  // as published: the first two layers are whole
    const auto copy = quest.fork();
    CHECK(step_all({copy.get()}, 70, 1) == step_all({&quest}, 70, 1));
    PolicyOptions wrong = quest_options();
    wrong.page = 24;
    CHECK_THROWS_AS(QuestCache(kPairShape, 100, wrong), Error);
}

TEST_CASE("quest: as many layers are whole as asked for and the newest page may have to win") {
    PolicyContext context;
    context.shape = kPairShape;
    context.capacity = 200;
    const auto check = [&](const char* name, Index asked, Index whole, bool newest) {
        CAPTURE(std::string(name));
        CAPTURE(asked);
        PolicyOptions options = quest_options();
        options.whole_layers = asked;
        const auto store = find_policy(name).make(context, options);
        const int left_out = check_steps(dynamic_cast<QuestCache&>(*store), whole, newest);
        CHECK((left_out > 0) == !newest);
    };
    check("quest", -1, 2, true);
    check("quest", 0, 0, true);
    check("quest", 4, 4, true);
    check("quest-every-layer", -1, 0, true);
    check("quest-every-layer", 3, 0, true);
    check("quest-by-bound", -1, 2, false);
    check("quest-by-bound", 0, 0, false);
}

TEST_CASE("quest: a model of two layers is read whole and has no summaries") {
    PolicyRig rig(tiny_config());
    const auto text = random_tokens(120, 256, 5);
    const auto pieces = one_by_one(70, 50);
    KvCache full(rig.decoder.kv_shape(), 120);
    const auto expected = rig.logits(full, text, pieces);
    PolicyOptions options = quest_options();
    for (const char* name : {"quest", "quest-by-bound"}) {
        const auto store = rig.store(name, options);
        CHECK(rig.logits(*store, text, pieces) == expected);
        CHECK(store->bytes().logical == full_bytes(rig.decoder.kv_shape(), 120));
    }
    const auto chooses = rig.store("quest-every-layer", options);
    CHECK(rig.logits(*chooses, text, pieces) != expected);
    CHECK(chooses->bytes().logical == full_bytes(rig.decoder.kv_shape(), 120 + 15));
}

TEST_SUITE_END();
