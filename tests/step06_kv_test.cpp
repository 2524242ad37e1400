// Step 6: quantised caches, in the decoder. Mistakes in mind: a scale of another group, a
// residual that never becomes codes or becomes so a token early, attention that reads codes
// before they are written, a rotation of queries without keys, a prompt whose pieces change
// what its tokens see.
#include <doctest/doctest.h>

#include <kvlab/kvcache/kv_cache.hpp>
#include <kvlab/kvcache/kv_format.hpp>

#include "quant_rig.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

void check_law(QuantRig& rig, const QuantOptions& options, Index tokens) {
    CAPTURE(quant_name(options));
    CAPTURE(tokens);
    const auto text = random_tokens(tokens, 96, 11);
    const Tensor expected = rig.uncached(options, text);
    for (const Index piece : {0, 1, 7, 64}) {
        CAPTURE(piece);
        const auto cache = rig.cache(options, tokens);
        CHECK(differing(rig.cached(*cache, text, piece), expected) == 0);
    }
    KvCache floats(rig.shape(), tokens);
    if (options.keys != &formats::f32 || options.values != &formats::f32)
        CHECK(differing(rig.cached(floats, text, 0), expected) > 0);
}

}  // namespace

TEST_SUITE_BEGIN("step06");

TEST_CASE("kv law: cached equals uncached over the same rounded rows for every format") {
    QuantRig rig;
    for (const Format code : coded_formats()) check_law(rig, both(code), 130);
}

TEST_CASE("kv law: keys and values in formats of their own and heads of 64 and threads") {
    QuantRig rig(64, 3);
    for (const auto& codes : {std::pair{&formats::q8_0, &formats::q4_0},
                              {&formats::f32, &formats::q4_1},
                              {&formats::q4_0, &formats::f32},
                              {&formats::kivi2, &formats::int8},
                              {&formats::e4m3, &formats::kivi4},
                              {&formats::lloyd3, &formats::lloyd2}})
        check_law(rig, {codes.first, codes.second}, 100);
}

TEST_CASE("kv law: rotated by Hadamard") {
    QuantRig rig;
    for (const Format code :
         {&formats::q4_0, &formats::lloyd4, &formats::kivi4, &formats::f16}) {
        QuantOptions options = both(code);
        options.turn = true;
        options.residual = 32;
        check_law(rig, options, 70);
    }
}

TEST_CASE("kv law: keys kept before RoPE") {
    QuantRig rig;
    for (const Format code : {&formats::q8_0, &formats::kivi2, &formats::f32, &formats::e5m2}) {
        QuantOptions options = both(code);
        options.before_rope = true;
        options.residual = 32;
        check_law(rig, options, 100);
    }
}

TEST_CASE("kv law: sinks stay floats") {
    QuantRig rig;
    for (const Format code : {&formats::q4_0, &formats::kivi2, &formats::int8})
        for (const Index sinks : {1, 4, 40, 70}) {
            QuantOptions options = kivi(code, 32);
            options.sinks = sinks;
            check_law(rig, options, 100);
        }
}

TEST_CASE("kivi: residuals and groups at their borders") {
    QuantRig rig;
    for (const Index residual : {32, 64})
        for (const Index tokens : {Index{31}, Index{32}, Index{33}, residual - 1, residual,
                                   residual + 1, residual + 2, 2 * residual, 2 * residual + 1})
            check_law(rig, kivi(&formats::kivi2, residual), tokens);
}

TEST_CASE("kivi: nothing becomes codes as long as the residual holds it") {
    QuantRig rig;
    const auto text = random_tokens(66, 96, 12);
    const auto f16 = make_cache(&formats::f16, rig.shape(), 66);
    const Tensor halves = rig.cached(*f16, text, 0);
    for (const Format code : {&formats::kivi2, &formats::kivi4}) {
        const auto cache = rig.cache(kivi(code, 64), 66);
        const Tensor logits = rig.cached(*cache, text, 1);
        const auto row = [](const Tensor& all, Index t) { return all.view()[t].flat(); };
        for (Index t = 0; t < 64; ++t)
            CHECK(compare_bits(row(logits, t), row(halves, t)).differ == 0);
        // Token 64 is the first that sees keys as codes, token 65 sees a value so, too.
        CHECK(compare_bits(row(logits, 64), row(halves, 64)).differ > 0);
    }
}

TEST_CASE("kv law: f16 is chapter 3's cache and f32 the float cache") {
    QuantRig rig;
    const auto text = random_tokens(90, 96, 13);
    for (const auto& [code, format] :
         {std::pair{&formats::f32, &formats::f32}, std::pair{&formats::f16, &formats::f16},
          std::pair{&formats::int8, &formats::int8}}) {
        const auto narrow = make_cache(format, rig.shape(), 90);
        const auto cache = rig.cache(both(code), 90);
        CHECK(differing(rig.cached(*cache, text, 7), rig.cached(*narrow, text, 0)) == 0);
    }
}

TEST_SUITE_END();
