// Step 5: what must hold for every policy of the registry, or between two of them,
// in every bit.
#include <doctest/doctest.h>

#include <set>

#include <kvlab/attention/generate.hpp>
#include <kvlab/kvcache/kv_cache.hpp>

#include "policy_support.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

// Both stores give the same rows for the same steps; and something was evicted, if said so.
void check_same(PolicyRig& rig, PolicyStore& a, KvStore& b, bool evicts = true) {
    const auto text = random_tokens(90, rig.decoder.config().vocab, 5);
    const auto pieces = one_by_one(40, 50);
    CHECK(rig.logits(a, text, pieces) == rig.logits(b, text, pieces));
    CHECK((a.mean_kept() < 90.0) == evicts);
}

PolicyOptions with_recent(PolicyOptions options, Index recent) {
    options.recent = recent;
    return options;
}

}  // namespace

TEST_SUITE_BEGIN("step05");

TEST_CASE("laws: a budget that the text does not reach is the full cache in every bit") {
    for (const Config& config : {tiny_config(), small_config(6, 2, 10), small_gpt2()})
        for (const CpuOptions options : {CpuOptions{1, supported_simd_levels().front()},
                                         CpuOptions{2, default_simd_level()}}) {
            CAPTURE(config.name);
            PolicyRig rig(config, options);
            const auto text = random_tokens(140, config.vocab, 3);
            rig.future = std::make_shared<FutureShares>(rig.decoder, text);
            const std::vector<Index> pieces = {1, 66, 1, 1, 7, 64};
            KvCache full(rig.decoder.kv_shape(), 140, options.level);
            const auto expected = rig.logits(full, text, pieces);
            for (const PolicyEntry& entry : all_policies()) {
                CAPTURE(std::string(entry.name));
                PolicyOptions generous;
                generous.budget = 140;
                generous.retained = 1;
                generous.ratios = std::string(entry.name) == "pyramidkv-ratios"
                                      ? std::vector<double>{1}
                                      : std::vector<double>{};
                const PolicyContext context = rig.context(140);
                if (config.architecture == Architecture::gpt2 &&
                    entry.scheme == PositionScheme::relative) {
                    CHECK_THROWS_AS(entry.make(context, generous), Error);  // it has no RoPE
                    continue;
                }
                const auto store = entry.make(context, generous);
                CHECK(rig.logits(*store, text, pieces) == expected);
                CHECK(store->mean_kept() == 140.0);
                CHECK(store->next_position() == 140);
            }
        }
}

TEST_CASE("laws: no sinks is the window and all budget recent is the window") {
    PolicyRig rig(small_config(6, 2, 10));
    PolicyOptions options = small_budget();
    options.sinks = 0;
    const auto window = [&] { return rig.store("window", options); };
    check_same(rig, *rig.store("sinks", options), *window());
    for (const char* name :
         {"h2o", "h2o-mean", "h2o-forgetting", "keyformer", "scissorhands"}) {
        CAPTURE(std::string(name));
        check_same(rig, *rig.store(name, with_recent(options, options.budget)), *window());
        // And one token less is another policy.
        const auto text = random_tokens(90, 96, 5);
        const auto pieces = one_by_one(40, 50);
        const auto other = rig.store(name, with_recent(options, options.budget - 1));
        CHECK(rig.logits(*other, text, pieces) != rig.logits(*window(), text, pieces));
    }
}

TEST_CASE("laws: h2o without recent tokens keeps by attention alone") {
    // The last 0 tokens are none; a slice from the end would make them all. Then all are rated
    // alike, the earlier stay, and attention decides nothing.
    PolicyRig rig(tiny_config());
    const auto text = random_tokens(90, 256, 5);
    const auto none = rig.store("h2o", with_recent(small_budget(), 0));
    const auto some = rig.store("h2o", with_recent(small_budget(), 12));
    const auto pieces = one_by_one(40, 50);
    CHECK(rig.logits(*none, text, pieces) != rig.logits(*some, text, pieces));
    CHECK(none->mean_kept() == 24.0);
    // The sums favour the old as well; the mean does not.
    const auto mean = rig.store("h2o-mean", with_recent(small_budget(), 0));
    rig.logits(*mean, text, pieces);
    for (const Index layer : {0, 1})
        for (const Index h : {0, 1}) CHECK(mean->kept(layer, h).back() >= 24);
}

TEST_CASE("laws: pyramidkv of ratio 1 is full and of beta 1 is snapkv") {
    PolicyRig rig(tiny_config());
    PolicyOptions options = small_budget(20);
    options.beta = 1;
    check_same(rig, *rig.store("pyramidkv", options), *rig.store("snapkv", options));
    options.beta = 4;
    const auto text = random_tokens(60, 256, 5);
    const auto a = rig.store("pyramidkv", options), b = rig.store("snapkv", options);
    CHECK(rig.logits(*a, text, {50, 10}) != rig.logits(*b, text, {50, 10}));
    options.ratios = {1, 1, 1, 1};
    check_same(rig, *rig.store("pyramidkv-ratios", options), *rig.store("full", options),
               false);
}

TEST_CASE("laws: key norm of a model of two layers is full and of every layer is not") {
    PolicyRig rig(tiny_config());
    check_same(rig, *rig.store("key-norm", small_budget()), *rig.store("full", {}), false);
    PolicyOptions options = small_budget();
    options.whole_layers = 0;
    check_same(rig, *rig.store("key-norm", options),
               *rig.store("key-norm-every-layer", small_budget()));
    options.whole_layers = 1;
    const auto half = rig.store("key-norm", options);
    rig.logits(*half, random_tokens(90, 256, 5), one_by_one(40, 50));
    CHECK(half->kept(0, 1).size() == 90);
    CHECK(half->kept(1, 1).size() == 24);
}

TEST_CASE("laws: keyformer without noise at temperature 1 is h2o") {
    PolicyRig rig(small_config(4, 2));
    PolicyOptions options = with_recent(small_budget(), 6);
    options.noise = false;
    options.own["tau-step"] = 0;
    check_same(rig, *rig.store("keyformer", options), *rig.store("h2o", options));
    options.forget = 1.0f;
    check_same(rig, *rig.store("h2o", options), *rig.store("h2o", options));
    // The general formula at a temperature next to 1 ranks as h2o does: its roundings do not
    // matter as long as no two tokens are that near.
    options.own["tau-first"] = 1.0 + 0x1p-40;
    const auto near = rig.store("keyformer", options), plain = rig.store("h2o", options);
    const auto text = random_tokens(60, 96, 5);
    rig.logits(*near, text);
    rig.logits(*plain, text);
    for (Index h = 0; h < 2; ++h) CHECK(near->kept(1, h) == plain->kept(1, h));
}

TEST_CASE("laws: keyformer's temperature is 2 at the end of a text of any length") {
    PolicyRig rig(small_config(4, 2));
    const auto text = random_tokens(104, 96, 5);
    const auto run = [&](const std::map<std::string, double>& own, Index capacity) {
        PolicyOptions options = small_budget();
        options.own = own;
        const auto store = rig.store("keyformer", options, capacity);
        auto rows = rig.logits(*store, text, one_by_one(40, 64));
        for (Index h = 0; h < 2; ++h)
            for (const float sum : dynamic_cast<SlotCache&>(*store).state(1, h, 0))
                rows.push_back(sum);
        return rows;
    };
    // 64 tokens behind a prompt of 40: a rise by 1/64 with each, exactly.
    const auto published = run({}, 104);
    CHECK(published == run({{"tau-step", 1.0 / 64}}, 104));
    CHECK(published == run({{"tau-first", 1}, {"tau-last", 2}, {"tau-step", -1}}, 104));
    // A longer text rises more slowly; from 1 to 4, three times as fast.
    CHECK(run({}, 168) == run({{"tau-step", 1.0 / 128}}, 104));
    CHECK(run({{"tau-last", 4}}, 104) == run({{"tau-step", 3.0 / 64}}, 104));
    CHECK(published != run({}, 168));
    // No way from 1 to 1 is any shorter.
    CHECK(run({{"tau-last", 1}}, 104) == run({{"tau-step", 0}}, 104));
    // Where nobody knows how long it is, as long as 100 tokens.
    CHECK(run({{"tau-last", 1 + 100.0 / 64}}, 40) == published);
    // A text that goes on stays at the last temperature.
    CHECK(run({}, 72) != run({{"tau-step", 1.0 / 32}}, 104));
}

TEST_CASE("laws: a prompt in pieces is the prompt whole as long as nothing went in between") {
    // Where it does not hold: a piece after which tokens went does not see them any more. So
    // the budget here is not reached before the prompt's last piece. MiniCache merges after
    // every step, so for it there is always something in between.
    PolicyRig rig(tiny_config());
    const auto text = random_tokens(90, 256, 7);
    rig.future = std::make_shared<FutureShares>(rig.decoder, text);
    const PolicyOptions options = small_budget(30);
    for (const PolicyEntry& entry : all_policies()) {
        CAPTURE(std::string(entry.name));
        if (std::string(entry.name) == "minicache") continue;
        const auto whole = rig.store(entry.name, options, 128, 50);
        const auto expected = rig.logits(*whole, text, one_by_one(50, 40));
        std::vector<std::vector<Index>> cuts = {{30, 20}, {7, 1, 15, 27}};
        if (!entry.streams) cuts.push_back({49, 1});
        for (std::vector<Index> pieces : cuts) {
            pieces.resize(pieces.size() + 40, 1);
            const auto store = rig.store(entry.name, options, 128, 50);
            CHECK(rig.logits(*store, text, pieces) == expected);
            for (Index layer = 0; layer < 2; ++layer)
                for (Index h = 0; h < 2; ++h)
                    CHECK(store->kept(layer, h) == whole->kept(layer, h));
        }
    }
}

TEST_CASE("laws: two texts in a row in one store are two fresh stores") {
    PolicyRig rig(tiny_config());
    const auto first = random_tokens(70, 256, 1), second = random_tokens(90, 256, 2);
    rig.future = std::make_shared<FutureShares>(rig.decoder, second);
    for (const PolicyEntry& entry : all_policies()) {
        CAPTURE(std::string(entry.name));
        const auto used = rig.store(entry.name, small_budget()),
                   fresh = rig.store(entry.name, small_budget());
        rig.logits(*used, first, one_by_one(33, 37));
        used->reset();
        CHECK(used->next_position() == 0);
        CHECK(used->mean_kept() == 0.0);
        CHECK(rig.logits(*used, second, one_by_one(40, 50)) ==
              rig.logits(*fresh, second, one_by_one(40, 50)));
        CHECK(used->bytes().logical == fresh->bytes().logical);
    }
}

TEST_CASE("laws: neighbours in a batch change nothing") {
    PolicyRig rig(tiny_config(), {2, default_simd_level()});
    std::vector<std::vector<Token>> prompts;
    for (const Index P : {35, 50, 3}) prompts.push_back(random_tokens(P, 256, 10));
    rig.future = std::make_shared<FutureShares>(rig.decoder, prompts[1]);
    const auto generate = [&](const std::string& name, const std::vector<std::size_t>& who) {
        std::vector<std::unique_ptr<PolicyStore>> stores;
        std::vector<std::vector<float>> rows(3);
        Generator generator(rig.decoder);
        for (const std::size_t i : who) {
            stores.push_back(rig.store(name, small_budget()));
            generator.add(*stores.back(), prompts[i], 40 + static_cast<Index>(i));
        }
        generator.set_on_token([&](Index n, Token, const View<const float>& logits) {
            auto& to = rows[at(who, n)];
            to.insert(to.end(), logits.flat().begin(), logits.flat().end());
        });
        generator.run();
        return rows;
    };
    for (const PolicyEntry& entry : all_policies()) {
        CAPTURE(std::string(entry.name));
        const auto together = generate(entry.name, {2, 0, 1});
        for (std::size_t i = 0; i < 3; ++i) CHECK(generate(entry.name, {i})[i] == together[i]);
    }
}

TEST_CASE("laws: threads and SIMD levels give the same bits and keep the same tokens") {
    const auto text = random_tokens(90, 96, 4);
    for (const PolicyEntry& entry : all_policies()) {
        CAPTURE(std::string(entry.name));
        std::vector<float> expected;
        std::vector<Index> kept;
        for (const SimdLevel level : supported_simd_levels())
            for (const Index threads : {1, 3}) {
                PolicyRig rig(small_config(6, 2, 10), {threads, level});
                rig.future = std::make_shared<FutureShares>(rig.decoder, text);
                const auto store = rig.store(entry.name, small_budget());
                const auto rows = rig.logits(*store, text, one_by_one(60, 30));
                if (expected.empty()) {
                    expected = rows;
                    kept = store->kept(1, 1);
                }
                CHECK(rows == expected);
                CHECK(store->kept(1, 1) == kept);
            }
    }
}

TEST_SUITE_END();
