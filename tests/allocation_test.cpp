// Decoding allocates nothing per token: a program of its own, since it replaces operator new.
#include <doctest/doctest.h>

#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/generate.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/kvcache/kv_format.hpp>

#include "counting_new.hpp"
#include "models.hpp"

using namespace kvlab;
using namespace kvlab::test;

TEST_SUITE_BEGIN("step03");

TEST_CASE("allocations: the counter counts") {
    const long before = taken();
    ::operator delete(
        ::operator new(4));  // called directly: a new-expression may be optimised away
    CHECK(taken() == before + 1);
    // A small block comes from operator new, a large one of zeros past it.
    for (const Index numbers : {Index{3}, Index{2} << 20}) {
        const long now = taken();
        { Tensor t({numbers}); }
        CHECK(taken() > now);
    }
}

TEST_CASE("allocations: none per decoded token, greedy or sampled, alone or in a batch") {
    for (const Config& config : {tiny_config(), small_gpt2()})
        for (const Index threads : {1, 2})
            for (const Index batch : {1, 3})
                for (const float temperature : {0.0f, 0.9f}) {
                    CAPTURE(config.name);
                    CAPTURE(threads);
                    CAPTURE(batch);
                    CAPTURE(temperature);
                    const auto source = make_synthetic(config, 1);
                    auto engine = make_cpu_engine({threads, default_simd_level()});
                    Decoder decoder(load_model(*source, *engine), *engine);
                    std::vector<std::unique_ptr<KvCache>> caches;
                    Generator generator(decoder);
                    for (Index i = 0; i < batch; ++i) {
                        caches.push_back(std::make_unique<KvCache>(decoder.kv_shape(), 200));
                        generator.add(*caches.back(), random_tokens(5 + i, config.vocab, 2),
                                      150, {temperature, 20, 0.9f, 5});
                    }
                    generator.step();  // the prompt sizes the buffers
                    generator.step();
                    const long before = taken();
                    for (int i = 0; i < 140; ++i) generator.step();
                    CHECK(taken() == before);
                }
}

TEST_CASE("allocations: none per decoded token with a cache of fewer bits") {
    for (const Format format : kv_formats()) {
        CAPTURE(std::string(format->name));
        auto engine = make_cpu_engine({1, default_simd_level()});
        Decoder decoder(load_model(*make_synthetic(tiny_config(), 1), *engine), *engine);
        const auto cache = make_cache(format, decoder.kv_shape(), 200);
        Generator generator(decoder);
        generator.add(*cache, random_tokens(5, 256, 2), 150);
        generator.step();
        generator.step();
        const long before = taken();
        for (int i = 0; i < 140; ++i) generator.step();
        CHECK(taken() == before);
    }
}

TEST_SUITE_END();
