// Step 4: what every check of an error says, word for word, and the last value that it takes.
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

using namespace kvlab;
using namespace kvlab::test;

namespace {

// Rows whose numbers lie 2 apart.
View<float> spread(const DeviceRows& rows) {
    const View<float> all = rows.view();
    return {all.data(), all.shape(), {2 * all.dim(1), 2, 0, 0}};
}

// Heads [R, heads, D] that lie `apart` floats apart, and the numbers of one `step`.
View<float> loose(const View<float>& heads, Index apart, Index step = 1) {
    return {heads.data(), heads.shape(), {heads.stride(0), apart, step, 0}};
}

}  // namespace

TEST_SUITE_BEGIN("step04");

TEST_CASE("4.1 messages: sizes of a launch") {
    const auto refused = [](const LaunchShape& shape, const char* said) {
        CHECK_THROWS_WITH_AS(check_launch(shape), concat("launch of 'k': ", said).c_str(),
                             Error);
    };
    constexpr unsigned kMost = 0x7fffffff;
    CHECK_NOTHROW(check_launch({"k", {kMost, 65535, 65535}, {1024, 1, 1}}));
    CHECK_NOTHROW(check_launch({"k", 1, {1, 1024, 1}}));
    CHECK_NOTHROW(check_launch({"k", 1, {16, 1, 64}}));
    refused({"k", {kMost + 1, 1, 1}, 1},
            "a grid has at most 2147483647 x 65535 x 65535 blocks, found 2147483648 x 1 x 1");
    refused({"k", {1, 65536, 1}, 1},
            "a grid has at most 2147483647 x 65535 x 65535 blocks, found 1 x 65536 x 1");
    refused({"k", {1, 1, 65536}, 1},
            "a grid has at most 2147483647 x 65535 x 65535 blocks, found 1 x 1 x 65536");
    for (const dim3& block : {dim3(1025), dim3(1, 1025), dim3(1, 1, 65), dim3(32, 33)})
        refused(
            {"k", 1, block},
            concat("a block has at most 1024 threads, and 64 in its third dimension, found ",
                   block.x, " x ", block.y, " x ", block.z)
                .c_str());
    refused({"k", {1, 0, 1}, 32}, "nothing to run: grid 1 x 0 x 1, block 32 x 1 x 1");
    refused({"k", 2, {32, 1, 0}}, "nothing to run: grid 2 x 1 x 1, block 32 x 1 x 0");

    CHECK_NOTHROW(check_launch({"k", 1, 1, kStaticSharedLimit, 0}));
    CHECK_NOTHROW(check_launch({"k", 1, 1, 1, kSharedLimit - 1}));
    refused({"k", 1, 1, kStaticSharedLimit + 1, 0},
            "static shared memory has at most 49152 bytes, found 49153");
    refused({"k", 1, 1, 1, kSharedLimit},
            "static and dynamic shared memory have at most 65536 bytes, found 1 and 65536");
}

TEST_CASE("4.1 messages: device memory and what is copied into it") {
    CHECK(DeviceArray<float>(1, "few").size() == 1);
    CHECK_THROWS_WITH_AS(DeviceArray<float>(0, "few"),
                         "device memory 'few': expected at least one byte in granules of at "
                         "least one, found 0 in 4",
                         Error);
    CHECK_THROWS_WITH_AS(device_alloc_bytes(4, 0, "few"),
                         "device memory 'few': expected at least one byte in granules of at "
                         "least one, found 4 in 0",
                         Error);
    CHECK_THROWS_WITH_AS(DeviceArray<float>((Index{1} << 45) + 1, "many"),
                         "many: expected memory of 0 to 2^47 bytes, found 140737488355332",
                         Error);
    DeviceArray<float> three(3, "three");
    CHECK_NOTHROW(three.copy_from(counting_up(3)));
    CHECK_THROWS_WITH_AS(three.copy_from(counting_up(2)),
                         "device array: expected 3 values, found 2", Error);
    CHECK_THROWS_WITH_AS(three.copy_from(counting_up(4)),
                         "device array: expected 3 values, found 4", Error);
    CHECK(three.to_host() == counting_up(3));
}

TEST_CASE("4.2 messages: what every rung of the product refuses, and its threads") {
    const LinearProblem product(TensorType::f32, 2, 64, 66, 1);
    const DeviceRows x(2, 64, product.x.flat()), y(2, 66), narrow(2, 63, x.values()),
        three(3, 66);
    for (const LinearRung& rung : linear_rungs()) {
        CAPTURE(rung.name);
        const bool in_rows = rung.layout == MatrixLayout::rows;
        const DeviceMatrix w(product.packed, rung.layout),
            other(product.packed, in_rows ? MatrixLayout::panels : MatrixLayout::rows);
        const auto refused = [&](const DeviceMatrix& matrix, const View<float>& in,
                                 const View<float>& out, const char* said) {
            CHECK_THROWS_WITH_AS(rung.run({matrix, nullptr, in, out}), said, Error);
        };
        refused(w, narrow.view(), y.view(), "linear: x: expected shape [2, 64], found [2, 63]");
        refused(w, x.view(), three.view(), "linear: y: expected shape [2, 66], found [3, 66]");
        refused(w, spread(x), y.view(), "linear: x: rows must be contiguous");
        refused(w, x.view(), spread(y), "linear: y: rows must be contiguous");
        refused(other, x.view(), y.view(),
                in_rows ? "linear: this kernel wants the weights in rows"
                        : "linear: this kernel wants the weights in panels");
        CHECK(product.holds(rung, 0));
        const std::string name = rung.name;
        for (const int block : {63, 65, 96, 255, 257}) {
            if (name == "naive" || name == "coalesced") {
                CHECK(product.holds(rung, block));
                continue;
            }
            const std::string said =
                name == "registers"
                    ? "linear: this kernel wants 256 threads"
                    : concat("linear: this kernel wants a multiple of 64 threads, found ",
                             block);
            CHECK_THROWS_WITH_AS(rung.run({w, nullptr, x.view(), y.view(), block}),
                                 said.c_str(), Error);
        }
    }
}

TEST_CASE("4.2 messages: what every rung of the norm refuses") {
    const DeviceRows x(2, 4, counting_up(8)), y(2, 4), other(2, 3);
    const DeviceArray<float> weight(counting_up(4), "weight");
    const View<float> nothing(x.view().data(), {2, 0}), one_axis(x.view().data(), {4});
    for (const NormRung& rung : norm_rungs()) {
        CAPTURE(rung.name);
        const auto norm = [&](const View<float>& in, const View<float>& out) {
            rung.run({in, weight.get(), 1e-5f, out});
        };
        CHECK_NOTHROW(norm(x.view(), y.view()));
        CHECK_THROWS_WITH_AS(norm(x.view(), other.view()),
                             "rms_norm: y: expected shape [2, 4], found [2, 3]", Error);
        CHECK_THROWS_WITH_AS(norm(nothing, nothing),
                             "rms_norm: expected x [R, C], found [2, 0]", Error);
        CHECK_THROWS_WITH_AS(norm(one_axis, one_axis), "rms_norm: expected x [R, C], found [4]",
                             Error);
        CHECK_THROWS_WITH_AS(norm(spread(x), y.view()), "rms_norm: x: rows must be contiguous",
                             Error);
        CHECK_THROWS_WITH_AS(norm(x.view(), spread(y)), "rms_norm: y: rows must be contiguous",
                             Error);
    }
}

TEST_CASE("4.3 messages: what every rung of attention refuses, and its threads") {
    const AttentionProblem problem({2, 4, 2, 16, 5});
    const std::unique_ptr<DeviceArray<float>> keys(problem.upload(problem.keys, "keys")),
        values(problem.upload(problem.values, "values"));
    const DeviceRows rows(2, 64, problem.q.flat()), to(2, 64), short_to(1, 64);
    const View<float> q = rows.heads(4), out = to.heads(4);
    Scratch scratch;
    for (const AttentionRung& rung : attention_rungs()) {
        CAPTURE(rung.name);
        const auto run = [&](const View<float>& from, const View<float>& into, int block = 0) {
            rung.run({from, keys->get(), values->get(), 2, problem.capacity, 5, into, scratch,
                      block});
        };
        CHECK_THROWS_WITH_AS(run(q, short_to.heads(4)),
                             "attention: out: expected shape [2, 4, 16], found [1, 4, 16]",
                             Error);
        const char* const heads = "attention: heads must lie side by side";
        CHECK_THROWS_WITH_AS(run(loose(q, 17), out), heads, Error);
        CHECK_THROWS_WITH_AS(run(q, loose(out, 17)), heads, Error);
        CHECK_THROWS_WITH_AS(run(loose(q, 16, 2), out), "attention: q: rows must be contiguous",
                             Error);
        CHECK_THROWS_WITH_AS(run(q, loose(out, 16, 2)),
                             "attention: out: rows must be contiguous", Error);
        CHECK(problem.holds(rung, 0));
        const std::string name = rung.name;
        for (const int block : {31, 33, 63, 65}) {
            if (name == "naive") {
                CHECK(problem.holds(rung, block));
                continue;
            }
            const std::string said =
                name == "staged"
                    ? "attention: this kernel wants 64 threads"
                    : concat("attention: this kernel wants a multiple of 32 threads, found ",
                             block);
            CHECK_THROWS_WITH_AS(run(q, out, block), said.c_str(), Error);
        }
    }
    // Tokens times query heads of a KV head: 16 rows, and 18.
    const AttentionRung& split = find_rung(attention_rungs(), "split");
    CHECK(AttentionProblem({8, 4, 2, 16, 5}).holds(split, 0));
    CHECK_THROWS_WITH_AS(AttentionProblem({9, 4, 2, 16, 5}).holds(split, 0),
                         "attention: this kernel takes at most 16 rows per KV head, found 18",
                         Error);
}

TEST_CASE("4.4 messages: values to choose from and how") {
    const DeviceArray<float> values(counting_up(5), "values");
    for (const ArgmaxRung& rung : argmax_rungs()) {
        CAPTURE(rung.name);
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

TEST_CASE("4.5 messages: the device's cache") {
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

TEST_CASE("4.5 messages: the device's engine") {
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

TEST_CASE("4.5 messages: heads and positions that are rotated") {
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
