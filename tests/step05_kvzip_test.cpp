// Step 5: KVzip. Mistakes in mind: the largest share of the prompt's own queries, chunks that
// rate each other's tokens, a mean over the group, a repetition that sees what comes behind the
// prompt, one budget for each layer, costs that are not counted.
#include <doctest/doctest.h>

#include <algorithm>

#include "policy_support.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

// The largest share that the queries behind `prompt` tokens give to a position, when `repeated`
// follows the prompt. Of a model with a KV head for each query head.
float largest(const FutureShares& run, Index layer, Index h, Index prompt, Index all, Index p) {
    float most = 0;
    for (Index query = prompt; query < all; ++query)
        most = std::max(most, at(run.given(layer, h, query), p));
    return most;
}

std::vector<Token> joined(std::span<const Token> a, std::span<const Token> b) {
    std::vector<Token> all(a.begin(), a.end());
    all.insert(all.end(), b.begin(), b.end());
    return all;
}

}  // namespace

TEST_SUITE_BEGIN("step05");

TEST_CASE("kvzip: a rating is the largest share while the prompt is repeated") {
    PolicyRig rig(small_config(4, 4));
    const Index n = 50;
    const auto prompt = random_tokens(n, 96, 5);
    const Reconstruction whole(rig.decoder, prompt);
    CHECK(whole.passes() == 1);
    CHECK(whole.tokens() == n);
    CHECK(whole.prompt() == n);
    const FutureShares run(rig.decoder, joined(prompt, prompt));
    for (Index layer = 0; layer < 2; ++layer)
        for (Index h = 0; h < 4; ++h)
            for (Index p = 0; p < n; ++p)
                CHECK(whole.share(layer, h, p) == largest(run, layer, h, n, 2 * n, p));

    // In chunks each follows the prompt alone, after the last tokens of the one before.
    const Reconstruction pieces(rig.decoder, prompt, 16);
    CHECK(pieces.passes() == 4);
    CHECK(pieces.tokens() == 16 + (8 + 16) + (8 + 16) + (8 + 2));
    for (const Index begin : {0, 16, 32, 48}) {
        const Index from = std::max<Index>(0, begin - 8), end = std::min(begin + 16, n);
        const auto part = std::span(prompt).subspan(usize(from), usize(end - from));
        const FutureShares chunk(rig.decoder, joined(prompt, part));
        for (Index p = begin; p < end; ++p)
            CHECK(pieces.share(1, 3, p) == largest(chunk, 1, 3, n, n + end - from, p));
    }
}

TEST_CASE("kvzip: of a group the head that looks at a token most decides") {
    PolicyRig rig(small_config(6, 2, 10));
    const Index n = 40;
    const auto prompt = random_tokens(n, 96, 5);
    const Reconstruction repeated(rig.decoder, prompt);
    const FutureShares run(rig.decoder, joined(prompt, prompt));  // means over three heads
    Index above = 0;
    for (Index p = 0; p < n; ++p) {
        const float mean = largest(run, 1, 1, n, 2 * n, p), most = repeated.share(1, 1, p);
        CHECK(most >= mean);
        CHECK(most <= 3 * mean * 1.0001f);  // and roundings
        above += most > 1.01f * mean ? 1 : 0;
    }
    CHECK(above > n / 2);
}

TEST_CASE("kvzip: what comes behind the prompt is not looked at") {
    PolicyRig rig(tiny_config());
    const auto prompt = random_tokens(60, 256, 1), a = random_tokens(30, 256, 2),
               b = random_tokens(30, 256, 3);
    const auto kept = [&](const std::vector<Token>& text) {
        PolicyContext context = rig.context(90);
        context.prompt = 60;
        const PolicyEntry& entry = find_policy("kvzip");
        CHECK(entry.looks_ahead());
        look_ahead(context, entry, small_budget(), rig.decoder, text);
        CHECK(context.future == nullptr);
        CHECK(context.reconstruction->prompt() == 60);
        const auto store = entry.make(context, small_budget());
        rig.logits(*store, std::span(text).first(60));
        std::vector<std::vector<Index>> all;
        for (Index i = 0; i < 4; ++i) all.push_back(store->kept(i / 2, i % 2));
        return all;
    };
    const auto of_a = kept(joined(prompt, a));
    CHECK(of_a == kept(joined(prompt, b)));
    // All heads share one budget, and each keeps its sinks.
    std::size_t tokens = 0;
    bool differ = false;
    for (const auto& head : of_a) {
        tokens += head.size();
        differ = differ || head.size() != 24;
        CHECK(
            std::equal(head.begin(), head.begin() + 4, std::vector<Index>{0, 1, 2, 3}.begin()));
    }
    CHECK(tokens == 4 * 24);
    CHECK(of_a[0].size() + of_a[1].size() != 2 * 24);
    CHECK(differ);
}

TEST_CASE("kvzip: near the end of the context chunks are short, and then there is no room") {
    Config config = small_config();
    config.context = 64;
    PolicyRig rig(config);
    const auto text = random_tokens(64, 96, 5);
    const auto repeated = [&](Index n, Index chunk = Reconstruction::kChunk) {
        const Reconstruction one(rig.decoder, std::span(text).first(usize(n)), chunk);
        return std::pair{one.passes(), one.tokens()};
    };
    CHECK(repeated(32) == std::pair<Index, Index>{1, 32});
    CHECK(repeated(33) == std::pair<Index, Index>{2, 23 + 8 + 10});  // 31 of room, 8 of lead
    CHECK(repeated(60) == std::pair<Index, Index>{30, 60 + 29 * 2});
    CHECK(repeated(62) == std::pair<Index, Index>{62, 62 + 61});
    CHECK(repeated(1) == std::pair<Index, Index>{1, 1});
    CHECK_THROWS_WITH_AS(
        repeated(63),
        "reconstruction: a prompt of 63 tokens leaves no room to repeat it in a context of 64",
        Error);
    CHECK_THROWS_WITH_AS(repeated(0), "reconstruction: no tokens", Error);
    CHECK_THROWS_WITH_AS(repeated(10, 0), "reconstruction: chunks of 0 tokens", Error);
    const auto known = std::make_shared<Reconstruction>(rig.decoder, std::span(text).first(20));
    CHECK_THROWS_WITH_AS(known->share(0, 0, 20), "reconstruction: position 20 of 20", Error);
    PolicyContext context = rig.context(40);
    CHECK_THROWS_WITH_AS(find_policy("kvzip").make(context, small_budget(8)),
                         "kvzip: nobody has repeated the prompt", Error);
    CHECK_THROWS_WITH_AS(kvzip_policy(small_budget(8), nullptr),
                         "kvzip: nobody has repeated the prompt", Error);
    PolicyOptions sinks = small_budget(3);
    CHECK_THROWS_WITH_AS(kvzip_policy(sinks, known), "kvzip: 4 sinks in a budget of 3", Error);
    context.reconstruction = known;
    const auto store = find_policy("kvzip").make(context, small_budget(8));
    CHECK_THROWS_WITH_AS(rig.logits(*store, std::span(text).first(21)),
                         "kvzip: a prompt of 21 tokens, of which 20 were repeated", Error);
}

TEST_SUITE_END();
