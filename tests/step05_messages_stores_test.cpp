// What stores that forget, and what measures them say when they refuse, word for word,
// and beside it the last value that is still taken.
#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <type_traits>

#include <kvlab/policies/mini_cache.hpp>
#include <kvlab/policies/policy_bytes.hpp>
#include <kvlab/policies/policy_quality.hpp>
#include <kvlab/policies/quest_cache.hpp>
#include <kvlab/policies/retention.hpp>

#include "element_checks.hpp"
#include "policy_support.hpp"
#include "random_steps.hpp"
#include "step05_messages.hpp"

using namespace kvlab;
using namespace kvlab::test;

TEST_SUITE_BEGIN("step05");

TEST_CASE("messages: quest's shape, pages and steps") {
    const auto make = [](const KvShape& shape, Index capacity, Index page) {
        return std::make_unique<QuestCache>(shape, capacity, with(&PolicyOptions::page, page));
    };
    CHECK_NOTHROW(make(kPairShape, 1, 1));
    CHECK_NOTHROW(make(kPairShape, 100, 64));
    CHECK_THROWS_WITH_AS(make({0, 4, 2, 12}, 8, 8),
                         "quest: layers: expected 1 to 4096, found 0", Error);
    CHECK_THROWS_WITH_AS(make(kPairShape, 0, 8), "quest: capacity must be positive, found 0",
                         Error);
    for (const auto& [page, said] : {std::pair<Index, const char*>{0, "0"},
                                     {-1, "-1"},
                                     {24, "24"},
                                     {65, "65"},
                                     {128, "128"}})
        CHECK_THROWS_WITH_AS(
            make(kPairShape, 100, page),
            concat("quest: pages of ", said, " tokens do not fill a tile of 64").c_str(),
            Error);

    const auto cache = make(kPairShape, 8, 8);
    const RandomRows rows(0, 1, 2);
    cache->begin(2);
    cache->append(0, rows.k.view(), rows.v.view());
    const std::vector<float> q(12), short_q(11);
    CHECK(cache->pages(4, 3, q, 2) == std::vector<Index>{0});
    for (const auto& [layer, head] : {std::pair<Index, Index>{-1, 0}, {5, 0}, {0, -1}, {0, 4}})
        CHECK_THROWS_WITH_AS(cache->pages(layer, head, q, 2),
                             concat("quest: layer ", layer, ", head ", head,
                                    " is outside of 5 layers of 4 heads")
                                 .c_str(),
                             Error);
    CHECK_THROWS_WITH_AS(cache->pages(0, 0, short_q, 2),
                         "quest: a query of 11 numbers for a head_dim of 12", Error);
    for (const Index slots : {0, 3})
        CHECK_THROWS_WITH_AS(
            cache->pages(0, 0, q, slots),
            concat("quest: pages of ", slots, " slots, of 2 that are held").c_str(), Error);
}

TEST_CASE("messages: minicache's shares, steps and numbers") {
    const auto make = [](double direction, double retained) {
        PolicyOptions options;
        options.direction = direction;
        options.retained = retained;
        return std::make_unique<MiniCache>(kPairShape, 8, options);
    };
    const auto refused = [](const char* direction, const char* retained) {
        return concat("minicache: a direction of ", direction, " and a retained share of ",
                      retained, "; both must be 0 to 1");
    };
    CHECK_NOTHROW(make(0, 0));
    CHECK_NOTHROW(make(1, 1));
    CHECK_THROWS_WITH_AS(make(-0.5, 0), refused("-0.5", "0").c_str(), Error);
    CHECK_THROWS_WITH_AS(make(1.5, 0), refused("1.5", "0").c_str(), Error);
    CHECK_THROWS_WITH_AS(make(0, -0.5), refused("0", "-0.5").c_str(), Error);
    CHECK_THROWS_WITH_AS(make(0, 1.5), refused("0", "1.5").c_str(), Error);

    const auto cache = make(0.5, 0.5);
    step_all({cache.get()}, 1, 3);
    CHECK(cache->key(0, 0, 0, 0) == RandomRows(0, 1, 3).k(0, 0, 0));
    CHECK(cache->value(4, 1, 2, 11) == RandomRows(4, 1, 3).v(2, 1, 11));
    CHECK_NOTHROW(cache->retained(4, 1));
    for (const auto& [layer, kv_head] :
         {std::pair<Index, Index>{-1, 0}, {5, 0}, {0, -1}, {0, 2}})
        CHECK_THROWS_WITH_AS(
            cache->retained(layer, kv_head),
            concat("minicache: there is no layer ", layer, ", KV head ", kv_head).c_str(),
            Error);
    check_elements(*cache, "minicache", {5, 2, 3, 12});
}

TEST_CASE("messages: steps and lengths of every kind of store") {
    SlotCache slots(kPairShape, 8, full_policy());
    QuestCache quest(kPairShape, 8, {});
    MiniCache mini(kPairShape, 8, {});
    for (PolicyStore* store : std::initializer_list<PolicyStore*>{&slots, &quest, &mini}) {
        step_all({store}, 1, 2);
        CHECK(store->kept(4, 1).size() == 2);
        CHECK_THROWS_AS(store->kept(5, 0), Error);
        CHECK_THROWS_AS(store->kept(0, 2), Error);
    }
    CHECK_THROWS_WITH_AS(
        mini.truncate(1),
        "minicache: cannot truncate 2 tokens to 1: which were retained depends "
        "on all of them",
        Error);

    const Index most = Index{1} << 24;
    const auto capacity = [](Index slots_of) {
        SlotCache(kPairShape, slots_of, full_policy());
    };
    CHECK_NOTHROW(capacity(1));
    CHECK_THROWS_WITH_AS(capacity(0), "slot cache: capacity: expected 1 to 16777216, found 0",
                         Error);
    CHECK_THROWS_WITH_AS(capacity(most + 1),
                         "slot cache: capacity: expected 1 to 16777216, found 16777217", Error);
    CHECK_THROWS_WITH_AS(SlotCache(kPairShape, 8, full_policy(), {Reduce::mean, {}, -1}),
                         "slot cache: a prompt of -1 tokens", Error);
}

TEST_CASE("messages: bytes of shapes and lengths that cannot be") {
    CHECK_THROWS_WITH_AS(full_bytes({2, 4, 2, 4097}, 10),
                         "policy bytes: head_dim: expected 1 to 4096, found 4097", Error);
    // A token of this shape has 2^10 bytes, and memory ends at 2^47.
    const KvShape shape{2, 4, 2, 32};
    const Index most = Index{1} << 37;
    CHECK(policy_bytes("window", small_budget(), shape, 0, most) == 4 * 24 * (2 * 32 + 1) * 4);
    const char* const beyond =
        "policy bytes: expected memory of 0 to 2^47 bytes, found 140737488356352";
    CHECK_THROWS_WITH_AS(policy_bytes("window", small_budget(), shape, 0, most + 1), beyond,
                         Error);
    CHECK_THROWS_WITH_AS(policy_bytes("snapkv", small_budget(), shape, most + 1, 10), beyond,
                         Error);
    CHECK(policy_bytes("snapkv", small_budget(), shape, 0, 0) == 0);
    CHECK_THROWS_WITH_AS(policy_bytes("snapkv", small_budget(), shape, 10, -1),
                         "policy bytes: a prompt of 10 and a length of -1", Error);
    CHECK_THROWS_WITH_AS(policy_bytes("snapkv", small_budget(), shape, -1, 10),
                         "policy bytes: a prompt of -1 and a length of 10", Error);
    CHECK(policy_bytes("quest", with(&PolicyOptions::page, 1), shape, 0, 1) == 1024);
    CHECK(policy_bytes("quest-every-layer", with(&PolicyOptions::page, 1), shape, 0, 1) ==
          2 * 1024);
    CHECK_THROWS_WITH_AS(policy_bytes("quest", with(&PolicyOptions::page, 0), shape, 0, 1),
                         "policy bytes: pages of 0 tokens", Error);
}

TEST_CASE("messages: prompts of a window and answers of a case") {
    const auto engine = make_cpu_engine();
    Config config = tiny_config();
    config.context = 20;
    const auto model = load_model(*make_synthetic(config, 42), *engine);
    const std::vector<Contender> full = {{"full", "full", {}}};
    const auto window = [&](Index tokens) {
        const TextWindows text(random_tokens(22, 256, 3), 0, tokens, 1);
        return measure_policies(model, *engine, text, full, 1).positions;
    };
    CHECK(window(20) == 19);
    CHECK_THROWS_WITH_AS(
        window(21), "quality: a window of 21 does not fit the model's context of 20", Error);
    const TextWindows windows(random_tokens(12, 256, 3), 0, 6, 1);
    const auto measure = [&](Index prompt) {
        return measure_policies(model, *engine, windows, full, prompt);
    };
    CHECK(measure(1).positions == 5);
    CHECK(measure(5).positions == 1);
    CHECK_THROWS_WITH_AS(measure(0), "quality: a prompt of 0 tokens in a window of 6", Error);
    CHECK_THROWS_WITH_AS(measure(6), "quality: a prompt of 6 tokens in a window of 6", Error);

    Decoder decoder(model, *engine);
    const MakeForText make = [&](std::span<const Token> text, Index) {
        return find_policy("full").make(policy_context(decoder, std::ssize(text)), {});
    };
    RecallCase recall{"recall", 3, "ab=1;ab?1", {8}};
    CHECK_NOTHROW(recalls(decoder, make, recall, 0));
    recall.answers = {};
    CHECK_THROWS_WITH_AS(recalls(decoder, make, recall, 0),
                         "recall: a case of one answer, found 0", Error);
    recall.answers = {3, 8};
    CHECK_THROWS_WITH_AS(recalls(decoder, make, recall, 0),
                         "recall: a case of one answer, found 2", Error);
}

TEST_CASE("messages: the future of a text and what was kept of it") {
    PolicyRig rig(tiny_config());
    CHECK_THROWS_WITH_AS(FutureShares(rig.decoder, {}), "future: no tokens", Error);
    const auto text = random_tokens(3, 256, 3);
    const FutureShares future(rig.decoder, text);
    CHECK(future.given(1, 1, 0).size() == 1);
    CHECK(future.given(1, 1, 2).size() == 3);
    CHECK_THROWS_WITH_AS(future.given(0, 0, 3), "future: no query 3 of 3", Error);
    CHECK_THROWS_WITH_AS(future.given(0, 0, -1), "future: no query -1 of 3", Error);
    CHECK(future.share(1, 1, 0, 0) > 0.0f);
    CHECK(future.share(1, 1, 3, 0) == 0.0f);
    CHECK(future.share(1, 1, 0, 3) == 0.0f);
    CHECK_THROWS_WITH_AS(future.share(1, 1, -1, 0), "future: no position -1 or query 0", Error);
    CHECK_THROWS_WITH_AS(future.share(1, 1, 0, -1), "future: no position 0 or query -1", Error);
    CHECK(FutureShares(rig.decoder, std::span(text).first(1)).given(0, 0, 0)[0] == 1.0f);

    CHECK(most_wanted(future, 0, 0, 2, 2) == std::vector<Index>{0, 1});
    CHECK_THROWS_WITH_AS(most_wanted(future, 0, 0, 2, 3), "most wanted: 3 of 2 positions",
                         Error);
    CHECK_THROWS_WITH_AS(most_wanted(future, 0, 0, 2, -1), "most wanted: -1 of 2 positions",
                         Error);

    const std::vector<float> shares = {0.25f, 0.25f, 0.5f};
    const auto mass = [&](std::vector<Index> kept) { return retained_mass(shares, kept); };
    CHECK(mass({}) == 0.5);
    CHECK(mass({0, 1}) == 1.0);
    const char* const outside = "retained mass: positions kept must lie before the query at 2";
    CHECK_THROWS_WITH_AS(mass({1, 2}), outside, Error);
    CHECK_THROWS_WITH_AS(mass({-1, 1}), outside, Error);
    CHECK(retained_mass(std::span(shares).first(1), {}) == 1.0);
    CHECK_THROWS_WITH_AS(retained_mass({}, {}),
                         "retained mass: positions kept must lie before the query at -1",
                         Error);
}

TEST_SUITE_END();
