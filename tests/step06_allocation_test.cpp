// Decoding with quantised rows, or with latents, allocates nothing per token: a program of
// its own, since it replaces operator new.
#include <doctest/doctest.h>

#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/generate.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/policies/registry.hpp>
#include <kvlab/quant/coded_rows.hpp>
#include <kvlab/quant/latent_plan.hpp>

#include "counting_new.hpp"
#include "models.hpp"

using namespace kvlab;
using namespace kvlab::test;

TEST_SUITE_BEGIN("step06");

namespace {

// In 140 tokens after a prompt of 40.
long allocations_per_text(Decoder& decoder, KvStore& cache) {
    Generator generator(decoder);
    generator.add(cache, random_tokens(40, 96, 2), 150);
    generator.step();  // the prompt sizes the buffers
    generator.step();
    const long before = taken();
    for (int i = 0; i < 140; ++i) generator.step();
    return taken() - before;
}

}  // namespace

TEST_CASE("allocations: none per decoded token in any format") {
    auto engine = make_cpu_engine({1, default_simd_level()});
    const auto model = load_model(*make_synthetic(small_config(4, 2, 32), 1), *engine);
    Decoder decoder(model, *engine);
    for (const Format code : coded_formats())
        for (const bool rotate : {false, true}) {
            CAPTURE(std::string(code->name));
            CAPTURE(rotate);
            QuantOptions options{code, code, rotate, !rotate, 3, 32};
            if (options.turns()) options.before_rope = false;
            KvCache cache(decoder.kv_shape(), 200, coded_rows(options), &model->rope);
            CHECK(allocations_per_text(decoder, cache) == 0);
        }
}

TEST_CASE("allocations: none per decoded token in quantised slots of a policy") {
    auto engine = make_cpu_engine({1, default_simd_level()});
    const auto model = load_model(*make_synthetic(small_config(4, 2, 32), 1), *engine);
    Decoder decoder(model, *engine);
    PolicyOptions budget;
    budget.budget = 24;
    for (const char* policy : {"sinks", "h2o"})
        for (const bool rotate : {false, true}) {
            CAPTURE(policy);
            CAPTURE(rotate);
            PolicyContext context = policy_context(decoder, 200);
            context.make_rows =
                coded_rows({&formats::q4_0, &formats::q8_0, rotate, false, rotate ? 0 : 30});
            const auto store = find_policy(policy).make(context, budget);
            CHECK(allocations_per_text(decoder, *store) == 0);
        }
}

TEST_CASE("allocations: none per decoded token in a cache of latents") {
    // Ranks that differ by layer and side: no room may shrink and grow again.
    auto engine = make_cpu_engine({1, default_simd_level()});
    const auto weights = make_synthetic(small_config(4, 2, 32), 1);
    const std::shared_ptr<const Model> model = load_model(*weights, *engine);
    Decoder decoder(model, *engine);
    const Bases bases = find_bases(*weights);
    const Index L = model->config.layers;
    LatentRanks ranks;
    for (Index l = 0; l < L; ++l) {
        ranks.keys.push_back(10 + 20 * l);
        ranks.values.push_back(50 - 20 * l);
    }
    for (const Format format : {&formats::f32, &formats::int8}) {
        CAPTURE(std::string(format->name));
        const auto cache =
            make_latent_cache(std::make_shared<LatentPlan>(model, bases, ranks, format), 200);
        CHECK(allocations_per_text(decoder, *cache) == 0);
    }
}

TEST_SUITE_END();
