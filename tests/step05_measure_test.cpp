// Step 5: what the measurements are made of, on made-up attention and small models. Mistakes in
// mind: the query's own share forgotten, shares of another query, the union counted twice, the
// bytes of positions or scores left out, an oracle compared with another prompt's.
#include <doctest/doctest.h>

#include <kvlab/attention/score.hpp>
#include <kvlab/policies/policy_bytes.hpp>
#include <kvlab/policies/policy_quality.hpp>

#include "policy_bytes_by_hand.hpp"
#include "policy_support.hpp"

using namespace kvlab;
using namespace kvlab::test;

TEST_SUITE_BEGIN("step05");

TEST_CASE("retention: mass and overlap of sets worked out by hand") {
    const std::vector<float> shares = {0.5f, 0.125f, 0.25f, 0.125f};  // of the query at 3
    CHECK(retained_mass(shares, std::vector<Index>{0, 1, 2}) == 1.0);
    CHECK(retained_mass(shares, std::vector<Index>{0, 2}) == 0.875);
    CHECK(retained_mass(shares, std::vector<Index>{}) == 0.125);  // its own
    // Shares whose sum is not 1, and not exact: all of them are still exactly all.
    const std::vector<float> odd = {0.1f, 0.3f, 0.7f};
    CHECK(retained_mass(odd, std::vector<Index>{0, 1}) == 1.0);
    CHECK_THROWS_AS(retained_mass(shares, std::vector<Index>{3}), Error);  // counted twice
    CHECK_THROWS_AS(retained_mass({}, {}), Error);
    const std::vector<Index> a = {0, 1, 2, 3}, b = {2, 3, 4, 5};
    CHECK(overlap(a, b) == 1.0 / 3.0);
    CHECK(overlap(a, a) == 1.0);
    CHECK(overlap(a, {}) == 0.0);
    CHECK(overlap({}, {}) == 1.0);
}

TEST_CASE("retention: the oracle behind its prompt overlaps with the most wanted exactly") {
    PolicyRig rig(small_config());
    const std::vector<Token> text = random_tokens(60, rig.decoder.config().vocab, 7);
    rig.future = std::make_shared<FutureShares>(rig.decoder, text);
    for (Index query : {0, 17, 59}) {
        double sum = 0;
        const auto given = rig.future->given(0, 0, query);
        CHECK(given.size() == usize(query + 1));
        for (const float share : given) sum += static_cast<double>(share);
        CHECK(sum == doctest::Approx(1.0).epsilon(1e-5));  // sums of rounded shares
    }
    CHECK_THROWS_AS(rig.future->given(0, 0, 60), Error);
    for (const char* name : {"full", "oracle", "window"}) {
        CAPTURE(std::string(name));
        const auto store = rig.store(name, small_budget(), 60, 40);
        rig.logits(*store, std::span(text).first(40));
        Retention retention;
        retention.add(*rig.future, *store);
        CHECK(retention.samples == rig.decoder.config().layers * rig.decoder.config().kv_heads);
        CHECK((retention.mean_mass() == 1.0) == (std::string(name) == "full"));
        CHECK((retention.mean_overlap() == 1.0) == (std::string(name) != "window"));
    }
}

TEST_CASE("bytes: the closed form is what every store says at every length") {
    PolicyRig rig(small_config());
    const std::vector<Token> text = random_tokens(90, rig.decoder.config().vocab, 7);
    rig.future = std::make_shared<FutureShares>(rig.decoder, text);
    PolicyOptions share = small_budget();
    share.ratio = 0.7;
    PolicyOptions votes = small_budget();
    votes.votes = 0;
    votes.retained = 0.3;
    for (const PolicyOptions& options : {small_budget(), share, votes})
        for (const PolicyEntry& entry : all_policies()) {
            CAPTURE(std::string(entry.name));
            const auto store = rig.store(entry.name, options, 90, 50);
            for (const Index length : {30, 50, 51, 90}) {
                CAPTURE(length);
                while (store->next_position() < length) {
                    const Index seen = store->next_position(), piece = seen < 30   ? 30
                                                                       : seen < 50 ? 20
                                                                                   : 1;
                    rig.logits(*store, std::span(text).subspan(usize(seen), usize(piece)));
                }
                const Index form =
                    policy_bytes(entry.name, options, store->shape(), 50, length);
                CHECK(store->bytes().logical == form);
                if (is_written_by_hand(entry.name))
                    CHECK(bytes_by_hand(entry.name, options, store->shape(), 50, length) ==
                          form);
            }
        }
    for (const auto& written : numbers_beside()) CHECK_NOTHROW(find_policy(written.first));
    CHECK_THROWS_AS(policy_bytes("h20", {}, rig.decoder.kv_shape(), 1, 1), Error);
}

TEST_CASE("bytes: the budget for some bytes is the largest that fits") {
    const KvShape shape{4, 8, 2, 32};
    for (const char* name : {"window", "h2o", "scissorhands", "sinks-relative", "snapkv"}) {
        CAPTURE(std::string(name));
        PolicyOptions options = small_budget();
        const Index most = 120 * full_bytes(shape, 1);
        const Index budget = budget_for_bytes(name, options, shape, 200, 220, most);
        CHECK(budget > 0);
        options.budget = budget;
        CHECK(policy_bytes(name, options, shape, 200, 220) <= most);
        options.budget = budget + 1;
        CHECK(policy_bytes(name, options, shape, 200, 220) > most);
    }
    // What grows behind its prompt cannot be as small; and what has no budget has none.
    CHECK(budget_for_bytes("snapkv", small_budget(), shape, 100, 220,
                           100 * full_bytes(shape, 1)) == 0);
    for (const char* name : {"full", "quest", "quest-every-layer", "minicache"})
        CHECK(budget_for_bytes(name, small_budget(), shape, 100, 220, 1 << 30) == 0);
}

TEST_SUITE_END();
