// What launches, device memory and kernels say when they refuse, word for word,
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

namespace {

// Rows whose numbers lie 2 apart.
View<float> spread(const DeviceRows& rows) {
    const View<float> all = rows.view();
    return {all.data(), all.shape(), {2 * all.dim(1), 2, 0, 0}};
}

}  // namespace

TEST_SUITE_BEGIN("step04");

TEST_CASE("messages: sizes of a launch") {
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

TEST_CASE("messages: device memory and what is copied into it") {
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

TEST_CASE("messages: what every rung of the product refuses, and its threads") {
    const LinearProblem product(TensorType::f32, 2, 64, 66, 1);
    const DeviceRows x(2, 64, product.x.flat()), y(2, 66), narrow(2, 63, x.values()),
        three(3, 66);
    Scratch scratch;
    for (const LinearRung& rung : linear_rungs()) {
        CAPTURE(std::string(rung.name));
        const bool in_rows = rung.layout == MatrixLayout::rows;
        const DeviceMatrix w(product.packed, rung.layout),
            other(product.packed, in_rows ? MatrixLayout::panels : MatrixLayout::rows);
        const auto refused = [&](const DeviceMatrix& matrix, const View<float>& in,
                                 const View<float>& out, const char* said) {
            CHECK_THROWS_WITH_AS(rung.run({matrix, nullptr, in, out, scratch}), said, Error);
        };
        refused(w, narrow.view(), y.view(), "linear: x: expected shape [2, 64], found [2, 63]");
        refused(w, x.view(), three.view(), "linear: y: expected shape [2, 66], found [3, 66]");
        refused(w, spread(x), y.view(), "linear: x: rows must be contiguous");
        refused(w, x.view(), spread(y), "linear: y: rows must be contiguous");
        refused(other, x.view(), y.view(),
                in_rows ? "linear: this kernel wants the weights in rows"
                        : "linear: this kernel wants the weights in panels");
        CHECK(product.holds(rung, 0));
        for (const int block : {63, 65, 96, 255, 257}) {
            const std::string said = refusal(rung, "linear", block);
            if (said.empty())
                CHECK(product.holds(rung, block));
            else
                CHECK_THROWS_WITH_AS(rung.run({w, nullptr, x.view(), y.view(), scratch, block}),
                                     said.c_str(), Error);
        }
    }
    for (const char* name : {"naive", "coalesced"})
        CHECK(refusal(find_rung(linear_rungs(), name), "linear", 63) == "");
    for (const char* name : {"split", "shared"})
        CHECK(refusal(find_rung(linear_rungs(), name), "linear", 96) ==
              "linear: this kernel wants a multiple of 64 threads, found 96");
    for (const auto& [name, said] :
         {std::pair("registers", "linear: this kernel wants 256 threads"),
          std::pair("vector", "linear: this kernel wants a multiple of 16 threads, found 255"),
          std::pair("wide", "linear: this kernel wants 64 threads"),
          std::pair("pipelined", "linear: this kernel wants 128 threads")})
        CHECK(refusal(find_rung(linear_rungs(), name), "linear", 255) == said);
}

TEST_CASE("messages: what every rung of the norm refuses") {
    const DeviceRows x(2, 4, counting_up(8)), y(2, 4), other(2, 3);
    const DeviceArray<float> weight(counting_up(4), "weight");
    const View<float> nothing(x.view().data(), {2, 0}), one_axis(x.view().data(), {4});
    for (const NormRung& rung : norm_rungs()) {
        CAPTURE(std::string(rung.name));
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

TEST_CASE("messages: what every rung of attention refuses, and its threads") {
    const AttentionProblem problem({2, 4, 2, 16, 5});
    const std::unique_ptr<DeviceArray<float>> keys(problem.upload(problem.keys, "keys")),
        values(problem.upload(problem.values, "values"));
    const DeviceRows rows(2, 64, problem.q.flat()), to(2, 64), short_to(1, 64);
    const View<float> q = rows.heads(4), out = to.heads(4);
    Scratch scratch;
    for (const AttentionRung& rung : attention_rungs()) {
        CAPTURE(std::string(rung.name));
        const auto run = [&](const View<float>& from, const View<float>& into, int block = 0) {
            rung.run({from, keys->get(), values->get(), 2, problem.capacity, 5, into, scratch,
                      block});
        };
        CHECK_THROWS_WITH_AS(run(q, short_to.heads(4)),
                             "attention: out: expected shape [2, 4, 16], found [1, 4, 16]",
                             Error);
        CHECK_THROWS_WITH_AS(run(q.slice(0, 0, 0), out.slice(0, 0, 0)),
                             "attention: 4 query heads do not share 2 KV heads evenly", Error);
        CHECK_THROWS_WITH_AS(
            rung.run({q, keys->get(), values->get(), 0, problem.capacity, 5, out, scratch, 0}),
            "attention: 4 query heads do not share 0 KV heads evenly", Error);
        const char* const heads = "attention: heads must lie side by side";
        CHECK_THROWS_WITH_AS(run(loose(q, 17), out), heads, Error);
        CHECK_THROWS_WITH_AS(run(q, loose(out, 17)), heads, Error);
        CHECK_THROWS_WITH_AS(run(loose(q, 16, 2), out), "attention: q: rows must be contiguous",
                             Error);
        CHECK_THROWS_WITH_AS(run(q, loose(out, 16, 2)),
                             "attention: out: rows must be contiguous", Error);
        CHECK(problem.holds(rung, 0));
        for (const int block : {31, 33, 63, 65}) {
            const std::string said = refusal(rung, "attention", block);
            if (said.empty())
                CHECK(problem.holds(rung, block));
            else
                CHECK_THROWS_WITH_AS(run(q, out, block), said.c_str(), Error);
        }
    }
    CHECK(refusal(find_rung(attention_rungs(), "naive"), "attention", 31) == "");
    CHECK(refusal(find_rung(attention_rungs(), "staged"), "attention", 63) ==
          "attention: this kernel wants 64 threads");
    for (const char* name : {"fused", "split"})
        CHECK(refusal(find_rung(attention_rungs(), name), "attention", 33) ==
              "attention: this kernel wants a multiple of 32 threads, found 33");
    // Tokens times query heads of a KV head: 16 rows, and 18.
    const AttentionRung& split = find_rung(attention_rungs(), "split");
    CHECK(AttentionProblem({8, 4, 2, 16, 5}).holds(split, 0));
    CHECK_THROWS_WITH_AS(AttentionProblem({9, 4, 2, 16, 5}).holds(split, 0),
                         "attention: this kernel takes at most 16 rows per KV head, found 18",
                         Error);
}

TEST_SUITE_END();
