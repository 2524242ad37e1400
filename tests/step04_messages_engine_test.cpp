// What the sampler, the cache and the engine of a device say when they refuse, word for word,
// and beside it the last value that is still taken.
#include <doctest/doctest.h>

#include <algorithm>

#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/model.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/cuda/cuda_cache.hpp>
#include <kvlab/cuda/cuda_engine.hpp>
#include <kvlab/cuda/device_sampler.hpp>

#include "device_support.hpp"
#include "kernel_problems.hpp"
#include "models.hpp"
#include "step04_messages.hpp"

using namespace kvlab;
using namespace kvlab::test;

TEST_SUITE_BEGIN("step04");

TEST_CASE("messages: values to choose from and how") {
    const DeviceArray<float> values(counting_up(5), "values");
    for (const ArgmaxRung& rung : argmax_rungs()) {
        CAPTURE(std::string(rung.name));
        CHECK(rung.run({values.get(), 1}) == 0);
        CHECK_THROWS_WITH_AS(rung.run({values.get(), 0}), "argmax: no values", Error);
        CHECK_THROWS_WITH_AS(rung.run({values.get(), -1}), "argmax: no values", Error);
    }
    const ArgmaxRung &naive = find_rung(argmax_rungs(), "naive"),
                     &tree = find_rung(argmax_rungs(), "tree");
    CHECK(naive.run({values.get(), 5, 1}) == 4);
    CHECK_THROWS_WITH_AS(naive.run({values.get(), 5, 2}),
                         "argmax: this kernel wants one thread", Error);
    for (const int block : {1, 2, 1024}) CHECK(tree.run({values.get(), 5, block}) == 4);
    for (const int block : {3, 6, 1023})
        CHECK_THROWS_WITH_AS(
            tree.run({values.get(), 5, block}),
            concat("argmax: this kernel wants a power of two of threads, found ", block)
                .c_str(),
            Error);

    const char* const sorted =
        "device sampler: top-k and top-p need a sorted list, which is left to the host";
    CHECK_THROWS_WITH_AS(DeviceSampler({1.0f, 1, 1.0f, 1}), sorted, Error);
    CHECK_THROWS_WITH_AS(DeviceSampler({1.0f, 0, 0.99f, 1}), sorted, Error);
    for (const float temperature : {0.0f, 1.0f}) {
        DeviceSampler sampler({temperature, 0, 1.0f, 1});
        CHECK(sampler.sample(values.get(), 1) == 0);
        CHECK_THROWS_WITH_AS(sampler.sample(values.get(), 0), "device sampler: no logits",
                             Error);
        CHECK_THROWS_WITH_AS(sampler.sample(values.get(), -1), "device sampler: no logits",
                             Error);
    }
}

TEST_CASE("messages: the device's cache") {
    CHECK(CudaCache({2, 4, 2, 32}, 1).room() == 1);
    CHECK_THROWS_WITH_AS(CudaCache({2, 4, 2, 32}, 0),
                         "cuda cache: capacity must be positive, found 0", Error);
    CHECK_THROWS_WITH_AS(CudaCache({2, 4097, 2, 32}, 8),
                         "cuda cache: query heads: expected 1 to 4096, found 4097", Error);

    CudaCache cache({2, 4, 2, 32}, 8);
    const DeviceRows rows(2, 64, counting_up(128)), queries(2, 128, counting_up(256)),
        to(2, 128), more(3, 128);
    ThreadPool pool(1);
    const auto attend = [&](Index layer, const DeviceRows& q, const DeviceRows& out) {
        cache.attend(layer, q.heads(4), out.heads(4), pool);
    };
    CHECK_THROWS_WITH_AS(attend(0, queries, to),
                         "cuda cache: attend() outside of a step, which begin() opens", Error);
    cache.begin(2);
    CHECK_THROWS_WITH_AS(attend(0, queries, to), "cuda cache: layer 0 has no keys yet", Error);
    cache.append(0, rows.heads(2), rows.heads(2));
    const char* const other = "cuda cache: expected shape [2, 4, 32], found [3, 4, 32]";
    CHECK_THROWS_WITH_AS(attend(0, more, to), other, Error);
    CHECK_THROWS_WITH_AS(attend(0, queries, more), other, Error);
    CHECK_NOTHROW(attend(0, queries, to));
    cache.append(1, rows.heads(2), rows.heads(2));
    cache.commit();

    CHECK(cache.keys(1)(1, 1, 31) == 127.0f);
    CHECK(cache.values(0)(0, 0, 0) == 0.0f);
    for (const Index layer : {-1, 2}) {
        const std::string said = concat("cuda cache: there is no layer ", layer);
        CHECK_THROWS_WITH_AS(cache.keys(layer), said.c_str(), Error);
        CHECK_THROWS_WITH_AS(cache.values(layer), said.c_str(), Error);
    }
}

TEST_CASE("messages: the device's engine") {
    const auto engine = make_cuda_engine(), cpu = make_cpu_engine();
    const auto weights = make_synthetic(tiny_config(), 42);
    const auto model = load_model(*weights, *engine), on_host = load_model(*weights, *cpu);
    const DeviceRows x(2, 64, counting_up(128)), y(2, 64), narrow(2, 63), one(1, 64);
    const std::vector<Token> tokens = {0, 255}, outside = {0, 256}, below = {-1, 0};

    CHECK_NOTHROW(engine->gather(*model->embedding, tokens, y.view()));
    CHECK_NOTHROW(engine->linear(*model->layers[0].out.weight, nullptr, x.view(), y.view()));
    const char* const other = "cuda engine: this matrix belongs to another engine";
    CHECK_THROWS_WITH_AS(engine->gather(*on_host->embedding, tokens, y.view()), other, Error);
    CHECK_THROWS_WITH_AS(
        engine->linear(*on_host->layers[0].out.weight, nullptr, x.view(), y.view()), other,
        Error);
    const auto gather = [&](std::span<const Token> of, const DeviceRows& to) {
        engine->gather(*model->embedding, of, to.view());
    };
    CHECK_THROWS_WITH_AS(gather(tokens, one),
                         "gather: x: expected shape [2, 64], found [1, 64]", Error);
    CHECK_THROWS_WITH_AS(gather(outside, y), "token 256 is outside of the vocabulary of 256",
                         Error);
    CHECK_THROWS_WITH_AS(gather(below, y), "token -1 is outside of the vocabulary of 256",
                         Error);

    const DeviceArray<float> scale(counting_up(64), "scale");
    const auto layer_norm = [&](const DeviceRows& to) {
        engine->layer_norm(x.view(), scale.get(), scale.get(), 1e-5f, to.view());
    };
    CHECK_NOTHROW(layer_norm(y));
    CHECK_THROWS_WITH_AS(layer_norm(narrow),
                         "layer_norm: y: expected shape [2, 64], found [2, 63]", Error);
    CHECK_NOTHROW(engine->add(x.view(), y.view()));
    CHECK_THROWS_WITH_AS(engine->add(x.view(), narrow.view()),
                         "add: y: expected shape [2, 64], found [2, 63]", Error);
    CHECK_NOTHROW(engine->gelu(x.view(), y.view()));
    CHECK_THROWS_WITH_AS(engine->gelu(x.view(), narrow.view()),
                         "gelu: y: expected shape [2, 64], found [2, 63]", Error);
    const DeviceRows half(2, 32), less(2, 31);
    CHECK_NOTHROW(engine->swiglu(x.view(), half.view()));
    CHECK_THROWS_WITH_AS(engine->swiglu(x.view(), less.view()),
                         "swiglu: gate_up: expected shape [2, 62], found [2, 64]", Error);
}

TEST_CASE("messages: heads and positions that are rotated") {
    const auto engine = make_cuda_engine();
    const RopeTable table(6, 16, 10000.0);
    const DeviceRows rows(2, 64, counting_up(128));
    const auto rotate = [&](const View<float>& heads, const std::vector<Index>& positions) {
        engine->rotate(heads, &table, positions, 1.0f);
    };
    const View<float> heads = rows.heads(4);
    CHECK_NOTHROW(rotate(heads, {0, 5}));
    CHECK_THROWS_WITH_AS(rotate(heads, {0}), "rotate: 1 positions for 2 rows", Error);
    CHECK_THROWS_WITH_AS(rotate(heads, {0, 1, 2}), "rotate: 3 positions for 2 rows", Error);
    CHECK_THROWS_WITH_AS(rotate(heads, {0, 6}),
                         "rotate: position 6 is outside of the model's context of 6", Error);
    CHECK_THROWS_WITH_AS(rotate(heads, {-1, 0}),
                         "rotate: position -1 is outside of the model's context of 6", Error);
    const char* const apart = "rotate: heads must lie side by side";
    CHECK_THROWS_WITH_AS(rotate(loose(heads, 17), {0, 1}), apart, Error);
    CHECK_THROWS_WITH_AS(rotate(loose(heads, 16, 2), {0, 1}), apart, Error);
}

TEST_SUITE_END();
