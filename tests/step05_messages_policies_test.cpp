// What policies and what they rate by say when they refuse, and the last value still taken.
#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <type_traits>

#include <kvlab/policies/mini_cache.hpp>
#include <kvlab/policies/policy_bytes.hpp>
#include <kvlab/policies/policy_kernels.hpp>
#include <kvlab/policies/policy_quality.hpp>
#include <kvlab/policies/quest_cache.hpp>
#include <kvlab/policies/retention.hpp>

#include "policy_support.hpp"
#include "random_steps.hpp"
#include "step05_messages.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

// Keeps everything, but of one layer so many tokens.
class OneLayer final : public Policy {
public:
    OneLayer(Index layer, Index tokens) : layer_(layer), tokens_(tokens) {}

    Index keep(Index layer, Index seen) const override {
        return layer == layer_ ? tokens_ : seen;
    }

    void rate(const HeadSlots&, std::span<float> ratings) const override {
        std::fill(ratings.begin(), ratings.end(), kProtected);
    }

private:
    Index layer_, tokens_;
};

class OtherRows final : public LayerRows {
public:
    OtherRows(Index slots, Index kv_heads, Index head_dim, bool turned)
        : LayerRows(slots, kv_heads, head_dim),
          floats_(slots, kv_heads, head_dim),
          turned_(turned) {}

    Index slot_bytes() const override { return floats_.slot_bytes(); }

    const float* read_keys(Index kv_head, Index tile, float* scratch) const override {
        return floats_.read_keys(kv_head, tile, scratch);
    }

    const float* read_values(Index kv_head, Index tile, float* scratch) const override {
        return floats_.read_values(kv_head, tile, scratch);
    }

    std::unique_ptr<LayerRows> make(Index slots) const override {
        return std::make_unique<OtherRows>(slots, kv_heads_, head_dim_, turned_);
    }

    Index allocated_bytes() const override { return floats_.allocated_bytes(); }

    void visit_memory(const VisitMemory& visit) override { floats_.visit_memory(visit); }

    bool turns() const override { return turned_; }

    float key(Index kv_head, Index slot, Index i) const override {
        return floats_.key(kv_head, slot, i);
    }

    float value(Index kv_head, Index slot, Index i) const override {
        return floats_.value(kv_head, slot, i);
    }

private:
    void write_slots(Index first,
                     Index position,
                     const View<const float>& k,
                     const View<const float>& v) override {
        floats_.write(first, position, k, v);
    }

    void copy_slots(const LayerRows& other, Index count) override {
        floats_.copy_from(static_cast<const OtherRows&>(other).floats_, count);
    }

    void move_slot(Index kv_head, Index from, Index to) override {
        floats_.copy_slot(kv_head, from, to);
    }

    KvTiles floats_;
    bool turned_;
};

}  // namespace

TEST_SUITE_BEGIN("step05");

TEST_CASE("messages: budgets, ratios and what has to fit into them") {
    CHECK(tokens_to_keep(with(&PolicyOptions::budget, 1), 9) == 1);
    CHECK_THROWS_WITH_AS(tokens_to_keep(with(&PolicyOptions::budget, 0), 9),
                         "policy: a budget of 0 tokens", Error);
    CHECK(tokens_to_keep(with(&PolicyOptions::ratio, 1), 9) == 9);
    CHECK(tokens_to_keep(with(&PolicyOptions::ratio, 0x1p-40), 9) == 1);
    CHECK_THROWS_WITH_AS(tokens_to_keep(with(&PolicyOptions::ratio, 1.01), 9),
                         "policy: a ratio of 1.01", Error);
    CHECK_THROWS_WITH_AS(tokens_to_keep(with(&PolicyOptions::ratio, -0.01), 9),
                         "policy: a ratio of -0.01", Error);

    const PolicyOptions four = with(&PolicyOptions::budget, 4),
                        half = with(&PolicyOptions::ratio, 0.5, four);
    CHECK_NOTHROW(sinks_policy(with(&PolicyOptions::sinks, 0, four)));
    CHECK_NOTHROW(sinks_policy(with(&PolicyOptions::sinks, 4, four)));
    CHECK_NOTHROW(sinks_policy(with(&PolicyOptions::sinks, 5, half)));
    CHECK_THROWS_WITH_AS(sinks_policy(with(&PolicyOptions::sinks, 5, four)),
                         "sinks: 5 sinks in a budget of 4", Error);
    CHECK_THROWS_WITH_AS(sinks_policy(with(&PolicyOptions::sinks, -1, half)),
                         "sinks: -1 sinks in a budget of 4", Error);

    for (const auto& make : {window_policy, sinks_policy})
        CHECK_THROWS_WITH_AS(make(with(&PolicyOptions::ratio, 1.5, four)),
                             "policy: a ratio of 1.5", Error);

    using Make = PolicyPointer (*)(const PolicyOptions&);
    const Make keyformer = [](const auto& options) { return keyformer_policy(options); };
    for (const auto& [make, name] : std::initializer_list<std::pair<Make, const char*>>{
             {h2o_policy, "h2o"},
             {keyformer, "keyformer"},
             {key_norm_policy, "key-norm"},
             {random_policy, "random"},
             {random_fixed_policy, "random"},
             {scissorhands_policy, "scissorhands"}}) {
        CHECK_NOTHROW(make(with(&PolicyOptions::recent, 4, four)));
        CHECK_NOTHROW(make(with(&PolicyOptions::recent, 5, half)));
        CHECK_THROWS_WITH_AS(make(with(&PolicyOptions::recent, 5, four)),
                             concat(name, ": 5 recent tokens in a budget of 4").c_str(), Error);
    }
}

TEST_CASE("messages: options of single policies") {
    CHECK_NOTHROW(h2o_policy(with(&PolicyOptions::forget, 1)));
    CHECK_NOTHROW(h2o_policy(with(&PolicyOptions::forget, 0x1p-100f)));
    CHECK_THROWS_WITH_AS(h2o_policy(with(&PolicyOptions::forget, 0)),
                         "h2o: a forgetting factor of 0", Error);
    CHECK_THROWS_WITH_AS(h2o_policy(with(&PolicyOptions::forget, 1.5f)),
                         "h2o: a forgetting factor of 1.5", Error);

    const auto tau = [](const char* name, double value) {
        PolicyOptions options;
        options.own[name] = value;
        return keyformer_policy(options);
    };
    for (const char* name : {"tau-first", "tau-last"}) CHECK_NOTHROW(tau(name, 0x1p-10));
    for (const double step : {-1, 0}) CHECK_NOTHROW(tau("tau-step", step));
    CHECK_THROWS_WITH_AS(tau("tau-first", 0), "keyformer: a temperature from 0 to 2", Error);
    CHECK_THROWS_WITH_AS(tau("tau-last", 0), "keyformer: a temperature from 1 to 0", Error);
    CHECK_THROWS_WITH_AS(tau("tau-step", -0.5), "keyformer: a temperature of 1, rising by -0.5",
                         Error);

    CHECK_NOTHROW(pyramidkv_policy({}, 1));
    CHECK_THROWS_WITH_AS(pyramidkv_policy({}, 0), "pyramidkv: a model of 0 layers", Error);
    CHECK_NOTHROW(pyramidkv_policy(with(&PolicyOptions::beta, 1), 2));
    CHECK_THROWS_WITH_AS(pyramidkv_policy(with(&PolicyOptions::beta, 0), 2),
                         "pyramidkv: beta must be at least 1, found 0", Error);
    CHECK_NOTHROW(pyramidkv_policy(with(&PolicyOptions::ratios, {1, 0x1p-40}), 2));
    CHECK_THROWS_WITH_AS(pyramidkv_policy(with(&PolicyOptions::ratios, {1, 0}), 2),
                         "pyramidkv: a ratio of 0", Error);
    CHECK_THROWS_WITH_AS(pyramidkv_policy(with(&PolicyOptions::ratios, {1.5, 1}), 2),
                         "pyramidkv: a ratio of 1.5", Error);

    CHECK_NOTHROW(scissorhands_policy(with(&PolicyOptions::votes, 0)));
    CHECK_NOTHROW(scissorhands_policy(with(&PolicyOptions::votes, 4096)));
    CHECK_THROWS_WITH_AS(scissorhands_policy(with(&PolicyOptions::votes, -1)),
                         "scissorhands: votes of -1 queries; 0 to 4096 can be remembered",
                         Error);
    CHECK_THROWS_WITH_AS(scissorhands_policy(with(&PolicyOptions::votes, 4097)),
                         "scissorhands: votes of 4097 queries; 0 to 4096 can be remembered",
                         Error);

    CHECK_NOTHROW(snapkv_policy(with(&PolicyOptions::window, 1)));
    CHECK_THROWS_WITH_AS(snapkv_policy(with(&PolicyOptions::window, 0)),
                         "snapkv: a window of 0 tokens", Error);
    CHECK_NOTHROW(snapkv_policy(with(&PolicyOptions::budget, 17)));
    CHECK_THROWS_WITH_AS(snapkv_policy(with(&PolicyOptions::budget, 16)),
                         "snapkv: a window of 16 tokens in a budget of 16", Error);
    CHECK_NOTHROW(snapkv_policy(with(&PolicyOptions::kernel, 1)));
    CHECK_NOTHROW(snapkv_policy(with(&PolicyOptions::kernel, 3)));
    CHECK_THROWS_WITH_AS(snapkv_policy(with(&PolicyOptions::kernel, 2)),
                         "snapkv: a kernel of 2; it must be odd", Error);
    CHECK_THROWS_WITH_AS(snapkv_policy(with(&PolicyOptions::kernel, -1)),
                         "snapkv: a kernel of -1; it must be odd", Error);

    CHECK_THROWS_WITH_AS(oracle_policy({}, nullptr),
                         "oracle: the future of the text is not given", Error);
}

TEST_CASE("messages: a slot cache's policy, positions and tiles") {
    const auto make = [](PolicyPointer policy, const SlotCacheOptions& options = {},
                         const RopeTable* rope = nullptr) {
        return std::make_unique<SlotCache>(kPairShape, 8, std::move(policy), options, rope);
    };
    CHECK_THROWS_WITH_AS(make(nullptr), "slot cache: no policy", Error);
    CHECK_NOTHROW(make(std::make_shared<OneLayer>(3, 1)));
    CHECK_THROWS_WITH_AS(make(std::make_shared<OneLayer>(3, 0)),
                         "slot cache: the policy keeps nothing in layer 3", Error);
    CHECK_THROWS_WITH_AS(make(std::make_shared<OneLayer>(4, -1)),
                         "slot cache: the policy keeps nothing in layer 4", Error);

    const RopeTable rope(20, kPairShape.head_dim, 10000.0), none;
    SlotCacheOptions relative;
    relative.scheme = PositionScheme::relative;
    CHECK_NOTHROW(make(full_policy(), relative, &rope));
    for (const RopeTable* const missing : {static_cast<const RopeTable*>(nullptr), &none})
        CHECK_THROWS_WITH_AS(make(full_policy(), relative, missing),
                             "slot cache: relative positions need a model with RoPE", Error);

    const auto rows = [](bool turned) -> MakeRows {
        return [turned](const RowsShape& of) {
            return std::make_unique<OtherRows>(of.slots, of.kv_heads, of.head_dim, turned);
        };
    };
    SlotCacheOptions absolute;
    absolute.make_rows = rows(true);
    CHECK_NOTHROW(make(full_policy(), absolute));
    relative.make_rows = rows(false);
    CHECK_NOTHROW(make(full_policy(), relative, &rope));
    relative.make_rows = rows(true);
    CHECK_THROWS_WITH_AS(make(full_policy(), relative, &rope),
                         "slot cache: keys that are rotated when they are read cannot be kept "
                         "turned",
                         Error);
    absolute.make_rows = nullptr;
    CHECK_THROWS_WITH_AS(make(full_policy(), absolute), "slot cache: no rows", Error);

    KvTiles floats(64, 2, 12);
    const KvTiles same(64, 2, 12);
    CHECK_NOTHROW(floats.copy_from(same, 64));
    CHECK_THROWS_WITH_AS(floats.copy_from(OtherRows(64, 2, 12, false), 64),
                         "rows: copy between different kinds or shapes", Error);
}

TEST_CASE("messages: steps of a slot cache and the rows of its state") {
    const PolicyOptions options = small_budget(12);
    SlotCache once(kPairShape, 16, snapkv_policy(options), {Reduce::mean, {}, 8});
    CHECK_THROWS_WITH_AS(once.begin(9),
                         "slot cache: a step of 9 tokens goes beyond the prompt of 8", Error);
    step_all({&once}, 1, 5);
    CHECK_THROWS_WITH_AS(once.begin(4),
                         "slot cache: a step of 4 tokens goes beyond the prompt of 8", Error);
    step_all({&once}, 2, 3);
    CHECK(once.next_position() == 8);
    CHECK_NOTHROW(once.begin(8));  // after the prompt only the room counts

    SlotCache cache(kPairShape, 8, h2o_policy(options));
    step_all({&cache}, 1, 3);
    CHECK(cache.state(4, 1, 0).size() == 3);
    CHECK_THROWS_WITH_AS(cache.state(4, 1, 1), "slot cache: there is no row 1", Error);
    CHECK_THROWS_WITH_AS(cache.state(4, 1, -1), "slot cache: there is no row -1", Error);
    CHECK_THROWS_WITH_AS(cache.state(5, 0, 0), "slot cache: there is no layer 5, KV head 0",
                         Error);
    CHECK_THROWS_WITH_AS(cache.state(0, 2, 0), "slot cache: there is no layer 0, KV head 2",
                         Error);
}

TEST_SUITE_END();

TEST_CASE("messages: kernels of a level that is not there") {
    const auto& levels = supported_simd_levels();
    for (const SimdLevel level :
         {SimdLevel::portable, SimdLevel::avx2, SimdLevel::avx512, static_cast<SimdLevel>(99)})
        if (std::find(levels.begin(), levels.end(), level) != levels.end())
            CHECK_NOTHROW(policy_kernels(level));
        else
            CHECK_THROWS_WITH_AS(policy_kernels(level),
                                 concat("SIMD level ", simd_level_name(level),
                                        " is not supported by this processor or not built in")
                                     .c_str(),
                                 Error);
}

TEST_CASE("messages: names of policies and stores that keep floats") {
    CHECK(std::string(find_policy("full").name) == "full");
    std::string names;
    for (const PolicyEntry& entry : all_policies())
        names += std::string(names.empty() ? "" : ", ") + entry.name;
    CHECK_THROWS_WITH_AS(find_policy("nobody"),
                         ("there is no policy 'nobody'; there are " + names).c_str(), Error);
    PolicyContext context;
    context.shape = kPairShape;
    context.capacity = 8;
    for (const char* name : {"window", "quest", "minicache"})
        CHECK_NOTHROW(find_policy(name).make(context, {}));
    context.make_rows = float_rows();
    CHECK_NOTHROW(find_policy("window").make(context, {}));
    CHECK_THROWS_WITH_AS(find_policy("quest").make(context, {}),
                         "quest: its store keeps floats and nothing else", Error);
    CHECK_THROWS_WITH_AS(find_policy("minicache").make(context, {}),
                         "minicache: its store keeps floats and nothing else", Error);
}
