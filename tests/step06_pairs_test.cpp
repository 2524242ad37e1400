// Step 6: every policy with every kind of rows, none of which knows of the other. Mistakes in
// mind: a policy that reads a store's floats behind the rows' back, a kind of rows that takes
// slots for positions, an angle that stays behind when a slot moves.
#include <doctest/doctest.h>

#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/policies/registry.hpp>
#include <kvlab/quant/latent_rows.hpp>
#include <kvlab/tensor/checksum.hpp>

#include "policy_support.hpp"
#include "rounding_store.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

struct KindOfRows {
    std::string name;
    QuantOptions options;  // what happens to a row
    MakeRows make;
};

std::vector<KindOfRows> all_kinds_of_rows() {
    std::vector<KindOfRows> kinds;
    for (const Format format : kv_formats())
        kinds.push_back(
            {concat("chapter 3's ", format->name), {format, format}, rows_in(format)});
    for (const Format format : coded_formats()) {
        QuantOptions plain{format, format}, turned = plain, before_rope = plain, sinks = plain;
        turned.turn = true;
        before_rope.before_rope = true;
        sinks.sinks = 5;
        for (const QuantOptions& options : {plain, turned, before_rope, sinks})
            if (!(options.before_rope && options.turns()))
                kinds.push_back({quant_name(options), options, coded_rows(options)});
    }
    return kinds;
}

// Policies that rate slots, with rows that can move; turned ones not where angles are relative.
Index expected_pairs() {
    Index rating = 0, relative = 0, moving = 0, turned = 0;
    for (const PolicyEntry& entry : all_policies()) {
        if (entry.store != nullptr) continue;
        ++rating;
        if (entry.scheme == PositionScheme::relative) ++relative;
    }
    for (const KindOfRows& kind : all_kinds_of_rows()) {
        if (kind.options.keys->waits) continue;
        ++moving;
        if (kind.options.turns()) ++turned;
    }
    return rating * moving - relative * turned;
}

}  // namespace

TEST_SUITE_BEGIN("step06");

TEST_CASE("pairs: each policy with each kind of rows is the policy fed with such rows") {
    PolicyRig rig(small_config(4, 2, 32));
    const auto text = random_tokens(48, 96, 21);
    rig.future = std::make_shared<FutureShares>(rig.decoder, text);
    const std::span<const Token> all(text);
    Index pairs = 0;
    for (const PolicyEntry& entry : all_policies())
        for (const KindOfRows& kind : all_kinds_of_rows()) {
            CAPTURE(std::string(entry.name));
            CAPTURE(kind.name);
            PolicyContext context = rig.context(100), floats = context;
            context.make_rows = kind.make;
            const auto make = [&] { return entry.make(context, small_budget(16)); };
            if (entry.store != nullptr) {
                CHECK_THROWS_WITH_AS(make(), doctest::Contains("keeps floats and nothing else"),
                                     Error);
                continue;
            }
            if (kind.options.keys->waits) {
                CHECK_THROWS_WITH_AS(make(), doctest::Contains(kind.options.keys->name), Error);
                continue;
            }
            if (kind.options.turns() && entry.scheme == PositionScheme::relative) {
                CHECK_THROWS_WITH_AS(make(), doctest::Contains("cannot be kept turned"), Error);
                continue;
            }
            ++pairs;
            const auto store = make();
            // Nobody gives such a policy turned queries: the next test has them.
            if (kind.options.turns() && asks_queries(entry, context)) continue;
            if (kind.options.before_rope) {
                QuantOptions as_floats;
                as_floats.before_rope = true;
                floats.make_rows = coded_rows(as_floats);
            }
            RoundingStore expected(entry.make(floats, small_budget(16)), kind.options);
            CHECK(store->key_form() == expected.key_form());
            CHECK(compare_bits(rig.logits(*store, all.first(40), one_by_one(30, 10)),
                               rig.logits(expected, all.first(40), one_by_one(30, 10)))
                      .differ == 0);
            const auto fork = store->fork(), other = expected.fork();
            CHECK(compare_bits(rig.logits(*fork, all.subspan(40), one_by_one(1, 7)),
                               rig.logits(*other, all.subspan(40), one_by_one(1, 7)))
                      .differ == 0);
        }
    CHECK(pairs == expected_pairs());
    CHECK(pairs >= 16 * 51 - 12);  // no list has become shorter
}

TEST_CASE(
    "pairs: a policy that sees queries sees keys and values as if nobody had turned them") {
    PolicyRig rig(small_config(4, 2, 32));
    const auto text = random_tokens(40, 96, 21);
    QuantOptions turned;
    turned.turn = true;
    Index asked = 0;
    for (const PolicyEntry& entry : all_policies()) {
        PolicyContext floats = rig.context(40), coded = floats;
        if (entry.store != nullptr || entry.looks_ahead() || !asks_queries(entry, floats))
            continue;
        ++asked;
        CAPTURE(std::string(entry.name));
        coded.make_rows = coded_rows(turned);
        const auto a = entry.make(floats, small_budget(16)),
                   b = entry.make(coded, small_budget(16));
        rig.logits(*a, text);
        rig.logits(*b, text);
        for (Index i = 0; i < 4; ++i) CHECK(a->kept(i / 2, i % 2) == b->kept(i / 2, i % 2));
    }
    CHECK(asked == 2);
}

TEST_CASE("pairs: keys kept before RoPE get the bits of keys kept after it") {
    PolicyRig rig(small_config(4, 2, 32));
    const auto text = random_tokens(60, 96, 22);
    QuantOptions before;
    before.before_rope = true;
    const auto cache = [&](const QuantOptions& options) {
        return std::make_unique<KvCache>(rig.decoder.kv_shape(), 60, coded_rows(options),
                                         &rig.decoder.model().rope);
    };
    const std::vector<Index> pieces = one_by_one(40, 20);
    const auto expected = rig.logits(*cache({}), text, pieces);
    CHECK(compare_bits(rig.logits(*cache(before), text, pieces), expected).differ == 0);
    PolicyContext context = rig.context(60);
    context.make_rows = coded_rows(before);
    // Nothing is forgotten, then the first tokens stay and the angles with them.
    CHECK(
        compare_bits(rig.logits(*find_policy(kFull).make(context, {}), text, pieces), expected)
            .differ == 0);
    const auto window = find_policy("sinks").make(context, small_budget(16));
    const auto after = rig.store("sinks", small_budget(16), 60);
    CHECK(compare_bits(rig.logits(*window, text, pieces), rig.logits(*after, text, pieces))
              .differ == 0);
}

TEST_CASE("pairs: latents are refused by every policy that moves slots") {
    const auto weights = make_synthetic(small_config(4, 2, 32), 80);
    const auto engine = make_cpu_engine();
    const std::shared_ptr<const Model> model = load_model(*weights, *engine);
    const auto plan = std::make_shared<const LatentPlan>(
        model, find_bases(*weights), LatentRanks{{3, 4}, {5, 6}}, &formats::f32);
    Decoder decoder(model, *engine);
    PolicyContext context = policy_context(decoder, 60);
    context.make_rows = latent_rows(plan);
    CHECK_THROWS_WITH_AS(find_policy("window").make(context, small_budget(16)),
                         "latents: all heads of a token are one latent, and a policy takes "
                         "single heads",
                         Error);
}

TEST_SUITE_END();
