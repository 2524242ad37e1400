// Step 5: what single policies promise. Mistakes in mind: protected tokens that go, a pooled
// score over the window's own tokens, a future that includes the past.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include <kvlab/attention/generate.hpp>
#include <kvlab/tensor/numerics.hpp>

#include "policy_support.hpp"
#include "random_steps.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

bool holds(const std::vector<Index>& kept, Index position) {
    return std::find(kept.begin(), kept.end(), position) != kept.end();
}

// The share of slot s in query t of a step of random rows, one query head, by the definition.
float plain_share(const RandomRows& rows, Index t, Index head, Index s) {
    std::vector<float> scores, weights(usize(t + 1));
    for (Index i = 0; i <= t; ++i)
        scores.push_back(dot(&rows.q(t, head, 0), &rows.k(i, head / 2, 0), 12));
    const float total = softmax_weights(scores, weights);
    return at(weights, s) * (1.0f / total);
}

// What SnapKV keeps of n tokens, by the definition: mean over the two heads of a group, sum
// over the last W queries, pooled over k neighbours before the window.
std::vector<Index> plain_snapkv(const RandomRows& rows,
                                Index n,
                                Index kv_head,
                                const PolicyOptions& options) {
    const Index W = options.window, prefix = n - W, half = options.kernel / 2;
    std::vector<float> sums(usize(prefix));
    for (Index t = prefix; t < n; ++t)
        for (Index s = 0; s < prefix; ++s)
            at(sums, s) += (plain_share(rows, t, 2 * kv_head, s) +
                            plain_share(rows, t, 2 * kv_head + 1, s)) *
                           0.5f;
    std::vector<std::pair<float, Index>> pooled;
    for (Index s = 0; s < prefix; ++s) {
        float all = 0, most = 0;
        for (Index i = s - half; i <= s + half; ++i) {
            const float x = i < 0 || i >= prefix ? 0 : at(sums, i);
            all += x;
            most = std::max(most, x);
        }
        pooled.emplace_back(
            options.max_pool ? -most : -(all / static_cast<float>(options.kernel)), s);
    }
    std::sort(pooled.begin(), pooled.end());
    std::vector<Index> kept;
    for (Index i = 0; i < options.budget - W; ++i) kept.push_back(at(pooled, i).second);
    for (Index s = prefix; s < n; ++s) kept.push_back(s);
    std::sort(kept.begin(), kept.end());
    return kept;
}

}  // namespace

TEST_SUITE_BEGIN("step05");

TEST_CASE("snapkv: keeps what the definition keeps for each pooling") {
    for (const Index kernel : {1, 5, 7})
        for (const bool max_pool : {false, true}) {
            CAPTURE(kernel);
            CAPTURE(max_pool);
            PolicyOptions options = small_budget(20);
            options.kernel = kernel;
            options.max_pool = max_pool;
            SlotCache cache(kPairShape, 80, snapkv_policy(options));
            // Several texts: the tokens just before the window, whose neighbours are in it, are
            // seldom near the edge of the budget.
            for (Index number = 3; number < 11; ++number) {
                cache.reset();
                step_all({&cache}, number, 70);
                for (const Index layer : {0, 4})
                    for (const Index h : {0, 1})
                        CHECK(cache.kept(layer, h) ==
                              plain_snapkv(RandomRows(layer, number, 70), 70, h, options));
            }
        }
}

TEST_CASE("protected: these tokens stay whatever attention says") {
    PolicyOptions options = small_budget(16);
    options.sinks = 3;
    options.recent = 7;
    options.whole_layers = 0;
    SlotCache sinks(kPairShape, 60, sinks_policy(options)),
        h2o(kPairShape, 60, h2o_policy(options)),
        keyformer(kPairShape, 60, keyformer_policy(options)),
        scissorhands(kPairShape, 60, scissorhands_policy(options)),
        random(kPairShape, 60, random_policy(options)),
        fixed(kPairShape, 60, random_fixed_policy(options)),
        key_norm(kPairShape, 60, key_norm_policy(options));
    for (Index number = 0; number < 60; ++number) {
        const Index T = number == 0 ? 40 : 1;
        step_all({&sinks, &h2o, &keyformer, &scissorhands, &random, &fixed, &key_norm}, number,
                 T);
        const Index next = sinks.next_position();
        for (Index layer = 0; layer < kPairShape.layers; ++layer)
            for (const Index h : {0, 1}) {
                for (const Index p : {0, 1, 2}) CHECK(holds(sinks.kept(layer, h), p));
                for (const SlotCache* cache :
                     {&h2o, &keyformer, &scissorhands, &random, &fixed, &key_norm})
                    for (Index p = next - 7; p < next; ++p)
                        CHECK(holds(cache->kept(layer, h), p));
                CHECK(sinks.kept(layer, h).back() - sinks.kept(layer, h)[3] == 12);
            }
    }
    // Of what is not protected, heads choose for themselves.
    CHECK(h2o.kept(0, 0) != h2o.kept(0, 1));
    CHECK(h2o.kept(0, 0) != h2o.kept(1, 0));
}

TEST_CASE("h2o: all that queries gave is kept count of until something goes") {
    // Rows of shares sum to 1, so the sums of n queries sum to n; each of 60 additions of
    // numbers up to 60 rounds to 2^-18 at the worst.
    SlotCache cache(kPairShape, 64, h2o_policy(small_budget(60)));
    step_all({&cache}, 1, 41);
    for (Index number = 2; number < 21; ++number) step_all({&cache}, number, 1);
    for (Index layer = 0; layer < kPairShape.layers; ++layer)
        for (const Index h : {0, 1}) {
            double sum = 0;
            for (const float one : cache.state(layer, h, 0)) sum += static_cast<double>(one);
            CHECK(std::fabs(sum - 60) < 1e-3);
        }
}

TEST_CASE("h2o: with even attention the old win by age alone and the mean by nothing") {
    // All scores are 0, so query n gives 1 / n to each: sums fall strictly with the position.
    ThreadPool pool(1);
    const Tensor k = random_tensor({50, 2, 12}, 1), q({50, 4, 12});
    Tensor out({50, 4, 12});
    SlotCache sums(kPairShape, 60, h2o_policy(small_budget(50)));
    sums.begin(50);
    for (Index layer = 0; layer < kPairShape.layers; ++layer) {
        sums.append(layer, k.view(), k.view());
        sums.attend(layer, q.view(), out.view(), pool);
    }
    sums.commit();
    const auto state = sums.state(2, 1, 0);
    for (std::size_t s = 1; s < 50; ++s) CHECK(state[s] < state[s - 1]);
}

TEST_CASE("keyformer: the noise belongs to the seed") {
    PolicyOptions options = small_budget(16);
    const auto kept = [&](std::uint64_t seed, const std::vector<Index>& steps) {
        options.seed = seed;
        SlotCache cache(kPairShape, 60, keyformer_policy(options),
                        {Reduce::mean, PositionScheme::absolute, 41});
        for (const Index T : steps) step_all({&cache}, 1, T);
        return cache.kept(3, 1);
    };
    CHECK(kept(1, {41}) == kept(1, {41}));
    CHECK(kept(1, {41}) != kept(2, {41}));
    options.noise = false;
    CHECK(kept(1, {41}) == kept(2, {41}));
}

TEST_CASE("oracle: the future is what comes behind and nothing else") {
    PolicyRig rig(tiny_config());
    const auto text = random_tokens(50, 256, 6);
    const FutureShares future(rig.decoder, text);
    SlotCache sums(rig.decoder.kv_shape(), 50, h2o_policy(small_budget(50)));
    rig.logits(sums, text);
    for (const Index layer : {0, 1})
        for (const Index h : {0, 1}) {
            for (Index p = 0; p < 50; ++p) {
                // The same numbers, added from the other end.
                const double all = static_cast<double>(sums.state(layer, h, 0)[usize(p)]);
                CHECK(std::fabs(static_cast<double>(future.share(layer, h, p, 0)) - all) <
                      1e-4);
                CHECK(future.share(layer, h, p, p) == future.share(layer, h, p, 0));
                CHECK(future.share(layer, h, p, 50) == 0.0f);
                for (Index next = p + 1; next < 50; ++next)
                    CHECK(future.share(layer, h, p, next) <
                          future.share(layer, h, p, next - 1));
            }
            CHECK(future.share(layer, h, 60, 10) == 0.0f);
        }
}

TEST_CASE("relative: a stream goes on where the context ends as if it were longer") {
    // The same weights with two tables of angles: ranks never reach the end of the short one.
    Config short_context = tiny_config(), long_context = tiny_config();
    short_context.context = 64;
    PolicyRig a(short_context), b(long_context);
    PolicyOptions options = small_budget(30);
    const auto text = random_tokens(300, 256, 8);
    const auto first = a.store("sinks-relative", options, 64),
               second = b.store("sinks-relative", options, 400);
    std::vector<Index> pieces = one_by_one(64, 200);
    CHECK(a.logits(*first, text, pieces) == b.logits(*second, text, pieces));
    CHECK(first->next_position() == 264);
    CHECK(first->room() == 34);
    CHECK_THROWS_AS(first->begin(35), Error);
    // With absolute positions the context is the end.
    const auto absolute = a.store("sinks", options, 64);
    Generator generator(a.decoder);
    generator.add(*absolute, std::span(text).first(20), 100);
    generator.run();
    CHECK(generator.finish(0) == Finish::context_full);
    CHECK(absolute->next_position() == 64);
}

TEST_SUITE_END();
