// Step 5: the storage of slots. Mistakes in mind: positions that count what is kept, keys
// rotated twice, a score that stays behind when its slot moves, scores of the wrong KV head,
// the last 0 tokens that become all, protected tokens that go, a stale score after a reset,
// ties by slot.
#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include <kvlab/kvcache/kv_cache.hpp>

#include "plain_cache.hpp"
#include "policy_support.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

const KvShape kSlotShape{2, 6, 3, 10};

// A step's rows of one layer, from the number of the step: every run can make them again.
struct StepRows {
    StepRows(Index layer, Index number, Index T)
        : k(random_tensor({T, kSlotShape.kv_heads, kSlotShape.head_dim},
                          seed(layer, number, 0))),
          v(random_tensor({T, kSlotShape.kv_heads, kSlotShape.head_dim},
                          seed(layer, number, 1))),
          q(random_tensor(
              {T, kSlotShape.heads, kSlotShape.head_dim}, seed(layer, number, 2), 2.0f)) {}

    static std::uint64_t seed(Index layer, Index number, Index what) {
        return static_cast<std::uint64_t>((number * 7 + layer) * 3 + what);
    }

    Tensor k, v, q;
};

// The same step in both, compared.
void step_both(SlotCache& cache, PlainCache& plain, Index number, Index T) {
    ThreadPool pool(1);
    cache.begin(T);
    for (Index layer = 0; layer < kSlotShape.layers; ++layer) {
        const StepRows rows(layer, number, T);
        Tensor out({T, kSlotShape.heads, kSlotShape.head_dim});
        cache.append(layer, rows.k.view(), rows.v.view());
        cache.attend(layer, rows.q.view(), out.view(), pool);
        const Tensor expected = plain.step(layer, rows.k, rows.v, rows.q);
        REQUIRE(compare_bits(out.flat(), expected.flat()).differ == 0);
    }
    cache.commit();
    plain.forget(T);
}

void check_slots(const SlotCache& cache, PlainCache& plain) {
    REQUIRE(cache.next_position() == plain.seen);
    for (Index layer = 0; layer < kSlotShape.layers; ++layer)
        for (Index h = 0; h < kSlotShape.kv_heads; ++h) {
            std::vector<Index> expected;
            for (const PlainToken& token : plain.list(layer, h))
                expected.push_back(token.position);
            const auto slots = cache.slot_positions(layer, h);
            REQUIRE(std::vector<Index>(slots.begin(), slots.end()) == expected);
            const std::vector<Index> kept = cache.kept(layer, h);
            REQUIRE(std::is_sorted(kept.begin(), kept.end()));
            REQUIRE(std::set<Index>(kept.begin(), kept.end()).size() == kept.size());
            REQUIRE(std::ssize(kept) == std::min(plain.seen, plain.rules.budget));
        }
}

struct Kind {
    PlainRules rules;
    Index capacity = 60;
};

std::vector<Kind> all_kinds() {
    std::vector<Kind> kinds;
    for (const char* policy :
         {"window", "h2o", "h2o-mean", "tova", "key-norm", "scissorhands"}) {
        PlainRules rules;
        rules.policy = policy;
        rules.recent = std::string(policy).front() == 'h' ? 3 : 0;
        kinds.push_back({rules});
    }
    kinds.push_back(kinds[0]);
    kinds.back().rules.sinks = 3;
    kinds.push_back(kinds[1]);
    kinds.back().rules.forget = 0.75f;
    kinds.push_back(kinds[1]);
    kinds.back().rules.reduce = "max";
    kinds.push_back(kinds[3]);
    kinds.back().rules.reduce = "sum";
    kinds.push_back(kinds[5]);
    kinds.back().rules.votes = 5;
    kinds.push_back(kinds[5]);
    kinds.back().rules.votes = 33;
    kinds.push_back(kinds[1]);
    kinds.back().rules.recent = 0;
    return kinds;
}

std::unique_ptr<SlotCache> make_cache(const PlainRules& rules,
                                      Index capacity,
                                      const RopeTable* rope = nullptr) {
    PolicyOptions options;
    options.budget = rules.budget;
    options.sinks = rules.sinks;
    options.recent = rules.recent;
    options.forget = rules.forget;
    options.votes = rules.votes;
    options.whole_layers = 0;
    options.normalise = rules.policy == "h2o-mean";
    const PolicyPointer policy = rules.policy == "window"         ? sinks_policy(options)
                                 : rules.policy == "tova"         ? tova_policy(options)
                                 : rules.policy == "key-norm"     ? key_norm_policy(options)
                                 : rules.policy == "scissorhands" ? scissorhands_policy(options)
                                                                  : h2o_policy(options);
    SlotCacheOptions cache;
    cache.reduce = rules.reduce == "max"   ? Reduce::max
                   : rules.reduce == "sum" ? Reduce::sum
                                           : Reduce::mean;
    if (rope != nullptr) cache.scheme = PositionScheme::relative;
    return std::make_unique<SlotCache>(kSlotShape, capacity, policy, cache, rope);
}

}  // namespace

TEST_SUITE_BEGIN("step05");

TEST_CASE("slots: any operations in any order leave what the plain model has") {
    Rng rng(11);
    for (const Kind& kind : all_kinds()) {
        CAPTURE(kind.rules.policy);
        CAPTURE(kind.rules.reduce);
        CAPTURE(kind.rules.votes);
        std::vector<std::pair<std::unique_ptr<SlotCache>, PlainCache>> runs;
        runs.emplace_back(make_cache(kind.rules, kind.capacity),
                          PlainCache(kSlotShape, kind.rules));
        for (Index number = 0; number < 120; ++number) {
            const auto which = usize(rng.below(std::ssize(runs)));
            SlotCache& cache = *runs[which].first;
            PlainCache& plain = runs[which].second;
            switch (rng.below(12)) {
                case 0: {  // a fork lives on beside the other
                    auto copy = cache.fork();
                    std::unique_ptr<SlotCache> own(static_cast<SlotCache*>(copy.release()));
                    PlainCache same = plain;
                    if (runs.size() == 3) runs.erase(runs.begin());
                    runs.emplace_back(std::move(own), std::move(same));
                    break;
                }
                case 1:  // to the present length
                    cache.truncate(cache.next_position());
                    break;
                case 2:
                    if (rng.below(3) != 0) break;
                    cache.reset();
                    plain = PlainCache(kSlotShape, kind.rules);
                    break;
                case 3: {  // a step that is never committed leaves no trace
                    ThreadPool pool(1);
                    const Index T = 1 + rng.below(5);
                    const StepRows rows(0, -1 - number, T);
                    Tensor out({T, kSlotShape.heads, kSlotShape.head_dim});
                    cache.begin(T);
                    cache.append(0, rows.k.view(), rows.v.view());
                    cache.attend(0, rows.q.view(), out.view(), pool);
                    cache.abandon();
                    break;
                }
                case 4:  // a prompt, longer than budget and tile
                    step_both(cache, plain, number, std::min<Index>(40, cache.room()));
                    break;
                default:
                    step_both(cache, plain, number, rng.below(3) == 0 ? 1 + rng.below(9) : 1);
                    break;
            }
            for (auto& run : runs) check_slots(*run.first, run.second);
        }
    }
}

TEST_CASE("slots: relative positions rotate each key by its rank and the query behind") {
    const RopeTable rope(100, 8, 10000.0);  // 8 of 10 components, and a short context
    for (Kind kind : all_kinds()) {
        CAPTURE(kind.rules.policy);
        kind.rules.relative = &rope;
        kind.rules.budget = 70;  // more than a tile
        const auto cache = make_cache(kind.rules, 100, &rope);
        PlainCache plain(kSlotShape, kind.rules);
        CHECK(cache->key_form() == KeyForm::unrotated);
        for (const Index T : {1, 60, 9, 25}) step_both(*cache, plain, T, T);
        // Far beyond the table's positions.
        for (Index number = 200; number < 300; ++number) step_both(*cache, plain, number, 1);
        check_slots(*cache, plain);
        CHECK(cache->next_position() == 195);
        const auto copy = cache->fork();
        step_both(static_cast<SlotCache&>(*copy), plain, 500, 2);
    }
}

TEST_CASE("slots: attention over what is left is the plain loop over a full cache's slots") {
    // The same keys and values go to a cache that keeps everything; the plain loop then walks
    // the slots of the one that does not.
    PolicyOptions options;
    options.budget = 9;
    options.recent = 4;
    ThreadPool pool(1);
    SlotCache cache(kSlotShape, 80, h2o_policy(options));
    KvCache full(kSlotShape, 80);
    for (Index number = 0; number < 40; ++number) {
        const Index T = number == 0 ? 30 : 1;
        std::vector<std::vector<std::int32_t>> before;
        cache.begin(T);
        full.begin(T);
        for (Index layer = 0; layer < kSlotShape.layers; ++layer) {
            const StepRows rows(layer, number, T);
            Tensor out({T, kSlotShape.heads, kSlotShape.head_dim}),
                expected({kSlotShape.head_dim});
            cache.append(layer, rows.k.view(), rows.v.view());
            full.append(layer, rows.k.view(), rows.v.view());
            cache.attend(layer, rows.q.view(), out.view(), pool);
            for (Index h = 0; h < kSlotShape.kv_heads; ++h) {
                const auto slots = cache.slot_positions(layer, h);
                before.emplace_back(slots.begin(), slots.end());
            }
            if (T > 1) continue;
            for (Index hq = 0; hq < kSlotShape.heads; ++hq) {
                const Index h = hq / 2, S = static_cast<Index>(before.back().size()) + 1;
                Tensor k({S, kSlotShape.head_dim}), v({S, kSlotShape.head_dim});
                const auto& slots = at(before, layer * 3 + h);
                for (Index s = 0; s < S; ++s)
                    for (Index i = 0; i < kSlotShape.head_dim; ++i) {
                        const bool fresh = s == S - 1;
                        const Index p = fresh ? 0 : at(slots, s);
                        k(s, i) = fresh ? rows.k(0, h, i) : full.key(layer, h, p, i);
                        v(s, i) = fresh ? rows.v(0, h, i) : full.value(layer, h, p, i);
                    }
                attention_plain(rows.q.view()[0][hq], k.view(), v.view(), expected.view());
                REQUIRE(compare_bits(out.view()[0][hq].flat(), expected.flat()).differ == 0);
            }
        }
        cache.commit();
        full.commit();
    }
}

TEST_SUITE_END();
