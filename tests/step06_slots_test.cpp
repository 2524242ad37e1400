// Step 6: policies that keep quantised rows. Mistakes in mind: a row that moves without its
// scale, codes that are rounded again when a row moves, a fork or a resize that loses the
// format, a policy that looks at other keys than attention does, a sink that stays where it was
// when its slot moves, rotation forgotten on one of four ways.
#include <doctest/doctest.h>

#include <kvlab/policies/registry.hpp>
#include <kvlab/quant/coded_rows.hpp>
#include <kvlab/quant/hadamard.hpp>
#include <kvlab/tensor/checksum.hpp>

#include "policy_support.hpp"
#include "rounding_store.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

// What attention says that it read and wrote, over all layers and steps.
struct BytesMoved final : Observer {
    void on(Op, Index, const View<const float>&, std::span<const Index>) override {}

    void attended(Index, const AttentionWork& work) override {
        read += work.bytes_read;
        written += work.bytes_written;
    }

    Index read = 0, written = 0;
};

bool is_relative(const PolicyEntry& entry) {
    return std::string(entry.name).find("relative") != std::string::npos;
}

QuantOptions options_of(Format keys, Format values, bool rotate, Index sinks) {
    return {keys, values, rotate, false, sinks, 128};
}

bool keeps_slots(const PolicyEntry& entry) {
    return entry.store == nullptr;
}

}  // namespace

TEST_SUITE_BEGIN("step06");

TEST_CASE("slots: a policy with quantised rows is the policy fed with rounded rows") {
    PolicyRig rig(small_config(4, 2, 32));
    const auto text = random_tokens(85, 96, 21);
    rig.future = std::make_shared<FutureShares>(rig.decoder, text);
    const std::vector<Index> pieces = one_by_one(50, 25);
    for (const PolicyEntry& entry : all_policies()) {
        if (!keeps_slots(entry)) continue;
        for (const QuantOptions& options :
             {options_of(&formats::q4_0, &formats::q8_0, false, 0),
              options_of(&formats::lloyd3, &formats::e4m3, true, 0),
              options_of(&formats::f32, &formats::q4_1, false, 3),
              options_of(&formats::turbo4, &formats::turbo3, false, 2),
              options_of(&formats::lloyd2, &formats::q4_0, true, 45)}) {
            PolicyContext context = rig.context(200);
            // Turned queries go to no policy: pairs, in another file.
            if (options.turns() && (is_relative(entry) || asks_queries(entry, context)))
                continue;
            CAPTURE(std::string(entry.name));
            CAPTURE(quant_name(options));
            context.make_rows = coded_rows(options);
            const auto store = entry.make(context, small_budget());
            RoundingStore expected(rig.store(entry.name, small_budget(), 200), options);
            const auto first = std::span<const Token>(text).first(75);
            CHECK(compare_bits(rig.logits(*store, first, pieces),
                               rig.logits(expected, first, pieces))
                      .differ == 0);
            const auto fork = store->fork(), other = expected.fork();
            const auto rest = std::span<const Token>(text).subspan(75, 10);
            CHECK(compare_bits(rig.logits(*fork, rest, one_by_one(1, 9)),
                               rig.logits(*other, rest, one_by_one(1, 9)))
                      .differ == 0);
            CHECK(store->bytes().logical < expected.bytes().logical);
        }
    }
}

TEST_CASE("slots: a policy that forgets nothing is the quantised cache") {
    // Relative positions, of keys kept before RoPE, are then the places in the text.
    PolicyRig rig(small_config(4, 2, 32));
    const auto text = random_tokens(130, 96, 23);
    rig.future = std::make_shared<FutureShares>(rig.decoder, text);
    const RopeTable& rope = rig.decoder.model().rope;
    PolicyOptions all = small_budget(200);
    all.ratios = {1};  // PyramidKV's
    for (const PolicyEntry& entry : all_policies()) {
        if (!keeps_slots(entry)) continue;
        for (const Format code : coded_formats())
            for (const auto& [rotate, sinks] : {std::pair{false, Index{0}},
                                                {true, Index{0}},
                                                {false, Index{70}},
                                                {true, Index{3}}}) {
                // All codes under one policy, one under all.
                const bool chosen = code == &formats::q4_0 || std::string(entry.name) == "full";
                if (code->waits || !chosen) continue;
                QuantOptions options = options_of(code, code, rotate, sinks);
                CAPTURE(std::string(entry.name));
                CAPTURE(quant_name(options));
                PolicyContext context = rig.context(200);
                context.make_rows = coded_rows(options);
                options.before_rope = is_relative(entry);
                if (options.turns() && options.before_rope) continue;
                const auto store = entry.make(context, all);
                KvCache cache(rig.decoder.kv_shape(), 200, coded_rows(options), &rope);
                CHECK(compare_bits(rig.logits(*store, text, {64, 1, 1, 40, 24}),
                                   rig.logits(cache, text))
                          .differ == 0);
            }
    }
}

TEST_CASE("slots: attention counts the bytes that are kept and a sink's as floats") {
    PolicyRig rig(small_config(4, 2, 32));
    const auto text = random_tokens(20, 96, 25);
    const auto count = [&](KvStore& store) {
        BytesMoved moved;
        rig.decoder.set_observer(&moved);
        rig.logits(store, text, {15, 1, 1, 1, 1, 1});
        rig.decoder.set_observer(nullptr);
        return moved;
    };
    for (const Index sinks : {0, 3, 17}) {
        const QuantOptions options = options_of(&formats::q4_0, &formats::q8_0, false, sinks);
        PolicyContext context = rig.context(64);
        context.make_rows = coded_rows(options);
        const auto store = find_policy("full").make(context, small_budget());
        KvCache cache(rig.decoder.kv_shape(), 64, coded_rows(options));
        const BytesMoved moved = count(*store), by_cache = count(cache);
        CHECK(moved.read == by_cache.read);
        CHECK(moved.written == by_cache.written);
        // 2 layers and 2 heads: a slot has rows of 18 and 34 bytes, a sink two of 128.
        CHECK(moved.written == 4 * ((20 - sinks) * (18 + 34) + sinks * 2 * Index{128}));
    }
}

TEST_CASE("slots: sinks that are evicted give their bytes back and a text begins anew") {
    PolicyRig rig(small_config(4, 2, 32));
    const auto text = random_tokens(60, 96, 24);
    const QuantOptions options = options_of(&formats::q4_0, &formats::q4_0, false, 5);
    const auto bytes = [&](const char* policy, bool twice) {
        PolicyContext context = rig.context(64);
        context.make_rows = coded_rows(options);
        const auto store = find_policy(policy).make(context, small_budget());
        const auto first = rig.logits(*store, text, one_by_one(30, 30));
        if (twice) {
            store->reset();
            CHECK(compare_bits(rig.logits(*store, text, one_by_one(30, 30)), first).differ ==
                  0);
        }
        return store->bytes().logical;
    };
    // 2 layers and 2 heads: a slot has 2 rows of 18 bytes and a position, a sink 2 of 128.
    CHECK(bytes("window", true) == 4 * 24 * (2 * 18 + 4));
    CHECK(bytes("sinks", true) == 4 * (24 * (2 * 18 + 4) + 4 * 2 * (128 - 18)));
}

TEST_CASE("slots: KIVI is refused by name and so are stores that keep no slots") {
    PolicyRig rig(small_config(4, 2, 32));
    PolicyContext context = rig.context(64);
    context.make_rows = coded_rows({&formats::q8_0, &formats::kivi2});
    CHECK_THROWS_WITH_AS(find_policy("window").make(context, small_budget()),
                         doctest::Contains("kivi2"), Error);
    context.make_rows = coded_rows({&formats::q8_0, &formats::q8_0});
    CHECK_THROWS_WITH_AS(find_policy("quest").make(context, small_budget()),
                         doctest::Contains("quest"), Error);
    CHECK_THROWS_WITH_AS(find_policy("minicache").make(context, small_budget()),
                         doctest::Contains("minicache"), Error);
    QuantOptions options{&formats::q8_0, &formats::q8_0, true};
    context.make_rows = coded_rows(options);
    CHECK_THROWS_WITH_AS(find_policy("sinks-relative").make(context, small_budget()),
                         doctest::Contains("cannot be kept turned"), Error);
    CHECK_NOTHROW(find_policy("sinks").make(context, small_budget()));
    CHECK_THROWS_WITH_AS(CodedRows({&formats::f16, &formats::f16, true}, 8, 1, 24),
                         doctest::Contains("24 is no power of two"), Error);
    CHECK_THROWS_WITH_AS(CodedRows({&formats::f16, &formats::f16, false, false, -1}, 8, 1, 24),
                         doctest::Contains("-1 sinks"), Error);
    context.make_rows = coded_rows({&formats::q8_0, &formats::q8_0});
    // Slots are counted in the format's bytes: of 24 tokens, 2 layers and 2 heads, keys and
    // values of 34 bytes and a position.
    const auto store = find_policy("window").make(context, small_budget());
    rig.logits(*store, random_tokens(60, 96, 22));
    CHECK(store->bytes().logical == 24 * 2 * 2 * (2 * 34 + 4));
}

TEST_SUITE_END();
