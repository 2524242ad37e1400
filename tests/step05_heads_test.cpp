// Step 5: KV heads with budgets of their own. Mistakes in mind: queries of another head, slots
// counted by the largest head, memory that is only marked as free, budgets that a fork or a
// reset forgets, a prompt in pieces that is evicted too early.
#include <doctest/doctest.h>

#include <kvlab/policies/slot_cache.hpp>
#include <kvlab/tensor/checksum.hpp>

#include "policy_support.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

const KvShape kHeadsShape{2, 6, 3, 10};
const std::vector<Index> kBudgets = {7, 30, 12, 20, 5, 66};  // [L, Hkv]

// Another policy, with budgets that are given.
class Allotted final : public Policy {
public:
    Allotted(PolicyPointer of, std::vector<Index> budgets)
        : of_(std::move(of)), budgets_(std::move(budgets)) {}

    Index keep(Index layer, Index seen) const override { return of_->keep(layer, seen); }

    bool once() const override { return of_->once(); }

    bool allots() const override { return true; }

    bool per_layer() const override { return of_->per_layer(); }

    void allot(std::span<const RatedHead> heads, std::span<Index> budgets) const override {
        CHECK(heads.size() == budgets_.size());
        for (std::size_t i = 0; i < heads.size(); ++i) {
            CHECK(heads[i].slots.layer * kHeadsShape.kv_heads + heads[i].slots.kv_head ==
                  static_cast<Index>(i));
            CHECK(heads[i].ratings.size() == heads[i].slots.positions.size());
            budgets[i] = budgets_[i];
        }
    }

    Index observed() const override { return of_->observed(); }

    Index state_rows() const override { return of_->state_rows(); }

    bool drops_state() const override { return of_->once(); }

    void arrive(const HeadSlots& head, Index slot, std::span<const float> key) const override {
        of_->arrive(head, slot, key);
    }

    void observe(const HeadSlots& head,
                 Index query,
                 std::span<const float> shares) const override {
        of_->observe(head, query, shares);
    }

    void rate(const HeadSlots& head, std::span<float> ratings) const override {
        of_->rate(head, ratings);
    }

private:
    PolicyPointer of_;
    std::vector<Index> budgets_;
};

PolicyOptions small_window(Index budget) {
    PolicyOptions options;
    options.budget = budget;
    options.window = 4;
    options.sinks = 2;
    return options;
}

// The outputs of a step, [L] of [T, Hq, D].
std::vector<Tensor> step_of(KvStore& store, Index number, Index T) {
    ThreadPool pool(2);
    std::vector<Tensor> outs;
    store.begin(T);
    for (Index layer = 0; layer < kHeadsShape.layers; ++layer) {
        const auto seed = static_cast<std::uint64_t>((number * 7 + layer) * 3);
        const Tensor k = random_tensor({T, kHeadsShape.kv_heads, kHeadsShape.head_dim}, seed),
                     v = random_tensor({T, kHeadsShape.kv_heads, kHeadsShape.head_dim},
                                       seed + 1),
                     q = random_tensor({T, kHeadsShape.heads, kHeadsShape.head_dim}, seed + 2,
                                       2.0f);
        outs.emplace_back(Shape{T, kHeadsShape.heads, kHeadsShape.head_dim});
        store.append(layer, k.view(), v.view());
        store.attend(layer, q.view(), outs.back().view(), pool);
    }
    store.commit();
    return outs;
}

using Make = PolicyPointer (*)(const PolicyOptions&);

// Cuts of a prompt of 70 tokens, and a text of 30 behind it.
const std::vector<std::vector<Index>> kPrompts = {{70}, {30, 39, 1}};

}  // namespace

TEST_SUITE_BEGIN("step05");

TEST_CASE("heads: each with a budget of its own is as in a cache where all have this one") {
    const RopeTable rope(160, 8, 10000.0);
    for (const Make make : {Make{snapkv_policy}, Make{sinks_policy}})
        for (const PositionScheme scheme : {PositionScheme::absolute, PositionScheme::relative})
            for (const auto& prompt : kPrompts) {
                const SlotCacheOptions options{Reduce::mean, scheme, 70};
                SlotCache ragged(kHeadsShape, 160,
                                 std::make_shared<Allotted>(make(small_window(24)), kBudgets),
                                 options, &rope);
                std::vector<std::unique_ptr<SlotCache>> even;  // one for each head
                for (const Index budget : kBudgets)
                    even.push_back(std::make_unique<SlotCache>(
                        kHeadsShape, 160,
                        std::make_shared<Allotted>(make(small_window(24)),
                                                   std::vector<Index>(6, budget)),
                        options, &rope));
                std::vector<Index> pieces = prompt;
                pieces.resize(pieces.size() + 30, 1);
                for (std::size_t n = 0; n < pieces.size(); ++n) {
                    const auto number = static_cast<Index>(n);
                    const auto outs = step_of(ragged, number, pieces[n]);
                    if (ragged.next_position() < 70)  // nothing goes before the prompt ends
                        CHECK(ragged.held(1, 1) == ragged.next_position());
                    for (std::size_t i = 0; i < even.size(); ++i) {
                        const auto same = step_of(*even[i], number, pieces[n]);
                        const auto layer = static_cast<Index>(i) / 3,
                                   h = static_cast<Index>(i) % 3;
                        const auto rows = [&](const std::vector<Tensor>& from) {
                            std::vector<float> all;
                            for (Index t = 0; t < pieces[n]; ++t)
                                for (Index q = 2 * h; q < 2 * h + 2; ++q) {
                                    const auto row = at(from, layer).view()[t][q].flat();
                                    all.insert(all.end(), row.begin(), row.end());
                                }
                            return all;
                        };
                        REQUIRE(rows(outs) == rows(same));
                        REQUIRE(ragged.kept(layer, h) == even[i]->kept(layer, h));
                    }
                }
                const Index more = make == Make{snapkv_policy} ? 30 : 0;
                for (Index i = 0; i < 6; ++i)
                    CHECK(ragged.held(i / 3, i % 3) == at(kBudgets, i) + more);
            }
}

TEST_CASE("heads: equal budgets in memory of their own are the cache with one memory") {
    // The same policy, with and without allot(): only where the slots lie differs.
    const SlotCacheOptions options{Reduce::mean, {}, 70};
    SlotCache one(kHeadsShape, 160, snapkv_policy(small_window(24)), options),
        many(kHeadsShape, 160,
             std::make_shared<Allotted>(snapkv_policy(small_window(24)),
                                        std::vector<Index>(6, 24)),
             options);
    for (Index number = 0; number < 30; ++number) {
        const Index T = number == 0 ? 70 : 1;
        const auto a = step_of(one, number, T), b = step_of(many, number, T);
        for (std::size_t layer = 0; layer < 2; ++layer)
            CHECK(compare_bits(a[layer].flat(), b[layer].flat()).differ == 0);
    }
    for (Index i = 0; i < 6; ++i) CHECK(one.kept(i / 3, i % 3) == many.kept(i / 3, i % 3));
}

TEST_CASE("heads: bytes are those of the slots held and what is evicted is given back") {
    SlotCache cache(kHeadsShape, 400,
                    std::make_shared<Allotted>(sinks_policy(small_window(24)), kBudgets));
    step_of(cache, 0, 300);
    Index slots = 0, tiles = 0;
    for (const Index budget : kBudgets) {
        slots += budget;
        tiles += (budget + 1 + kTile - 1) / kTile;  // room for the next token as well
    }
    // A key, a value and a position; in memory a value's 10 numbers take 16.
    CHECK(cache.bytes().logical == slots * (2 * 10 + 1) * 4);
    CHECK(cache.bytes().allocated == tiles * kTile * (10 + 16 + 1) * 4);
    CHECK(cache.room() == 400 - 66);
    const auto copy = cache.fork();
    for (Index number = 1; number < 500; ++number) step_of(cache, number, 1);
    for (Index number = 1; number < 500; ++number) step_of(*copy, number, 1);
    CHECK(copy->bytes().logical == cache.bytes().logical);
    CHECK(cache.bytes().logical == slots * (2 * 10 + 1) * 4);
    CHECK(cache.bytes().allocated == tiles * kTile * (10 + 16 + 1) * 4);
}

TEST_CASE("heads: a fork has the budgets, a reset asks again, an abandoned step left nothing") {
    const auto make = [] {
        return std::make_unique<SlotCache>(
            kHeadsShape, 160,
            std::make_shared<Allotted>(snapkv_policy(small_window(24)), kBudgets),
            SlotCacheOptions{Reduce::mean, {}, 70});
    };
    const auto used = make(), fresh = make();
    step_of(*used, 5, 30);
    CHECK(used->state(0, 2, 0).size() == 30);
    step_of(*used, 6, 40);
    CHECK_THROWS_WITH_AS(used->state(0, 2, 0), "slot cache: there is no row 0", Error);
    step_of(*used, 7, 1);
    used->reset();
    CHECK(used->bytes().logical == 0);
    CHECK_THROWS_WITH_AS(used->begin(71),
                         "slot cache: a step of 71 tokens goes beyond the prompt of 70", Error);
    const auto check_same = [](SlotCache& a, SlotCache& b, Index number, Index T) {
        const auto x = step_of(a, number, T), y = step_of(b, number, T);
        for (std::size_t layer = 0; layer < 2; ++layer)
            CHECK(compare_bits(x[layer].flat(), y[layer].flat()).differ == 0);
        for (Index i = 0; i < 6; ++i) CHECK(a.kept(i / 3, i % 3) == b.kept(i / 3, i % 3));
    };
    check_same(*used, *fresh, 0, 69);
    used->begin(1);
    used->abandon();
    const auto early = fresh->fork();  // before budgets are known
    check_same(*used, *fresh, 1, 1);
    step_of(*early, 1, 1);
    const auto late = fresh->fork();
    for (Index number = 2; number < 20; ++number) {
        check_same(*used, *fresh, number, 1);
        check_same(static_cast<SlotCache&>(*early), static_cast<SlotCache&>(*late), number, 1);
        CHECK(early->bytes().allocated == fresh->bytes().allocated);
    }
    CHECK(static_cast<SlotCache&>(*late).kept(0, 0) == fresh->kept(0, 0));
}

TEST_CASE("heads: what cannot be kept apart is refused") {
    const auto make = [](PolicyPointer policy, MakeRows rows, std::vector<Index> budgets) {
        SlotCacheOptions options;
        options.make_rows = std::move(rows);
        SlotCache cache(kHeadsShape, 60,
                        std::make_shared<Allotted>(std::move(policy), std::move(budgets)),
                        options);
        step_of(cache, 0, 40);
    };
    CHECK_NOTHROW(make(sinks_policy(small_window(24)), float_rows(), kBudgets));
    CHECK_THROWS_WITH_AS(make(tova_policy(small_window(24)), float_rows(), kBudgets),
                         "slot cache: one set for all heads of a layer, and budgets for each",
                         Error);
    CHECK_THROWS_WITH_AS(make(
                             sinks_policy(small_window(24)),
                             [](const RowsShape& of) {
                                 return std::make_unique<KvTiles>(of.slots, 3, of.head_dim);
                             },
                             kBudgets),
                         "slot cache: rows of 3 KV heads, which cannot be kept apart", Error);
    CHECK_THROWS_WITH_AS(
        make(sinks_policy(small_window(24)), float_rows(), {1, 1, 1, 1, 1, -1}),
        "slot cache: a budget of -1 slots", Error);
    CHECK_NOTHROW(make(sinks_policy(small_window(24)), float_rows(), {0, 0, 0, 1, 1, 1}));
}

TEST_SUITE_END();
