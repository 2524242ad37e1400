// What weights: rounding, smoothing and low rank say when they refuse, word for word,
// and beside it the last value that is still taken.
#include <doctest/doctest.h>

#include <algorithm>
#include <limits>

#include <kvlab/attention/wrapped_engine.hpp>
#include <kvlab/kvcache/judge.hpp>
#include <kvlab/quant/edited_weights.hpp>
#include <kvlab/quant/expand_kernels.hpp>
#include <kvlab/quant/gptq.hpp>
#include <kvlab/quant/int8_engine.hpp>
#include <kvlab/quant/int8_matrix.hpp>
#include <kvlab/quant/latent_rows.hpp>
#include <kvlab/quant/linear_algebra.hpp>
#include <kvlab/quant/lloyd_max.hpp>
#include <kvlab/quant/low_rank.hpp>
#include <kvlab/quant/smooth.hpp>
#include <kvlab/quant/weight_codec.hpp>

#include "models.hpp"
#include "quant_rig.hpp"
#include "quant_support.hpp"
#include "random_data.hpp"

namespace kvlab::test {

namespace {

constexpr float kInfiniteWeights = std::numeric_limits<float>::infinity();

// An engine whose memory the CPU cannot read.
class FarEngine final : public WrappedEngine {
public:
    using WrappedEngine::WrappedEngine;

    bool host_memory() const override { return false; }
};

TensorInfo info_of(const char* name, const Tensor& numbers) {
    TensorInfo info;
    info.name = name, info.type = TensorType::f32, info.shape = numbers.shape();
    info.bytes = std::as_bytes(std::span<const float>(numbers.flat()));
    return info;
}

}  // namespace

TEST_SUITE_BEGIN("step06");

TEST_CASE("messages: bits, groups and steps of rounding") {
    for (const int bits : {2, 8}) CHECK_NOTHROW(make_rtn_codec(bits, 1));
    const auto said = [](int bits, Index group) {
        return concat("rtn: expected 2 to 8 bits and a group of 1 or more numbers, found ",
                      bits, " and ", group);
    };
    for (const int bits : {1, 9})
        CHECK_THROWS_WITH_AS(make_rtn_codec(bits, 32), said(bits, 32).c_str(), Error);
    CHECK_THROWS_WITH_AS(make_rtn_codec(4, 0), said(4, 0).c_str(), Error);
    CHECK(grid_of(0, 3 * 65519.0f, 2).scale == 65504.0f);
    CHECK_THROWS_WITH_AS(grid_of(0, 3 * 65520.0f, 2),
                         "round to nearest: a step of 65520 is beyond f16", Error);
}

TEST_CASE("messages: matrices that are compared and rows that are cut off") {
    const std::vector<double> gram = {1, 0, 0, 1};
    Tensor w({2, 2});
    CHECK(product_error(w.view(), w.view(), gram) == 0.0);
    CHECK_THROWS_WITH_AS(product_error(w.view(), Tensor({1, 2}).view(), gram),
                         "product error: q: expected shape [2, 2], found [1, 2]", Error);
    for (const std::size_t less : {0u, 3u})
        CHECK_THROWS_WITH_AS(product_error(w.view(), w.view(), std::span(gram).first(less)),
                             concat("product error: ", less, " products for 2 columns").c_str(),
                             Error);
    const std::vector<float> ones(2, 1.0f);
    CHECK_NOTHROW(clipped_round(w.view(), ones, gram, 4, 2));
    w(1, 1) = kInfiniteWeights;
    CHECK_THROWS_WITH_AS(clipped_round(w.view(), ones, gram, 4, 2),
                         "awq: row 1 has a number that is not finite", Error);
}

TEST_CASE("messages: a matrix belongs to the engine that loaded it") {
    const auto weights = make_synthetic(small_config(), 13);
    const auto floats = make_cpu_engine();
    const auto model = load_model(*weights, *floats);
    const std::vector<Token> tokens = {1};
    Tensor x({1, 72}), y({1, 72});
    const auto refused = [&](Engine& engine, const char* said) {
        CHECK_THROWS_WITH_AS(engine.gather(*model->embedding, tokens, x.view()), said, Error);
        CHECK_THROWS_WITH_AS(
            engine.linear(*model->layers[0].out.weight, nullptr, x.view(), y.view()), said,
            Error);
    };
    Calibration seen;
    const auto recording = make_recording_engine(make_cpu_engine(), seen);
    const auto recorded = load_model(*weights, *recording);
    CHECK_NOTHROW(recording->gather(*recorded->embedding, tokens, x.view()));
    refused(*recording, "recording engine: this matrix belongs to another engine");

    const auto int8 = make_int8_engine({});
    const auto bytewise = load_model(*weights, *int8);
    CHECK_NOTHROW(int8->gather(*bytewise->embedding, tokens, x.view()));
    refused(*int8, "int8 engine: this matrix belongs to another engine");
    CHECK_THROWS_WITH_AS(int8->gather(*bytewise->layers[0].out.weight, tokens, x.view()),
                         "int8 engine: this matrix is not a table", Error);
    CHECK(int8_counts(*int8).inputs == 0);
    CHECK_THROWS_WITH_AS(int8_counts(*floats),
                         concat("int8 counts: ", floats->name(), " is another engine").c_str(),
                         Error);
}

TEST_CASE("messages: thresholds, memory and matrices of bytes") {
    const auto make = [](float threshold) { return make_int8_engine({}, {false, threshold}); };
    CHECK_NOTHROW(make(0));
    CHECK_THROWS_WITH_AS(make(-0.5f), "int8 engine: a threshold of -0.5", Error);
    CHECK_THROWS_WITH_AS(make(kInfiniteWeights), "int8 engine: a threshold of inf", Error);
    CHECK_THROWS_WITH_AS(
        make_int8_engine(std::make_unique<FarEngine>(make_cpu_engine()), Int8Level::portable),
        "int8 engine: its products run on the CPU", Error);

    ThreadPool pool(1);
    const auto matrix = [&](std::vector<TensorInfo> infos) {
        std::vector<const TensorInfo*> parts;
        for (const TensorInfo& info : infos) parts.push_back(&info);
        return Int8Matrix(parts, pool);
    };
    const Tensor narrow({2, 3}), wide({1, 4}), row({3}), deep({1, 66'000}), deeper({1, 66'001});
    CHECK(matrix({info_of("a", narrow), info_of("b", narrow)}).outputs() == 4);
    CHECK_THROWS_WITH_AS(matrix({}), "int8 matrix: no tensors", Error);
    CHECK_THROWS_WITH_AS(matrix({info_of("a", narrow), info_of("b", wide)}),
                         "b: expected a matrix as deep as its neighbours, found [1, 4]", Error);
    CHECK_THROWS_WITH_AS(matrix({info_of("c", row)}),
                         "c: expected a matrix as deep as its neighbours, found [3]", Error);
    CHECK(matrix({info_of("d", deep)}).depth() == 66'000);
    CHECK_THROWS_WITH_AS(matrix({info_of("d", deeper)}),
                         "d: sums of 66001 products of bytes may not fit into 32 bits; at most "
                         "66000",
                         Error);

    const Int8Kernels& kernels = int8_kernels(Int8Level::portable);
    const Int8Matrix two = matrix({info_of("a", narrow)});
    Int8Rows rows;
    Tensor y({1, 2}), more({1, 3});
    const auto multiply = [&](const Tensor& x, Tensor& to) {
        rows.set(kernels, x.view(), 0, pool);
        rows.multiply(kernels, two, to.view(), pool);
    };
    CHECK_NOTHROW(multiply(Tensor({1, 3}), y));
    for (const Index depth : {2, 4})
        CHECK_THROWS_WITH_AS(
            multiply(Tensor({1, depth}), y),
            concat("int8 product: rows of ", depth, " numbers, a matrix of depth 3").c_str(),
            Error);
    CHECK_THROWS_WITH_AS(multiply(Tensor({1, 3}), more),
                         "int8 product: y: expected shape [1, 2], found [1, 3]", Error);
}

TEST_CASE("messages: how smooth, and which channel becomes an outlier") {
    const auto weights = make_synthetic(small_config(), 71),
               gpt2 = make_synthetic(small_gpt2(), 71);
    const Calibration seen = calibrate(*weights, {random_tokens(41, 96, 70), 0, 20}),
                      gpt2_seen = calibrate(*gpt2, {random_tokens(41, 90, 70), 0, 20});
    EditedWeights edited(*weights), edited_gpt2(*gpt2);
    const auto alpha = [&](double value) { smooth(edited, seen, {value, false, false}); };
    CHECK_NOTHROW(alpha(0));
    CHECK_NOTHROW(alpha(1));
    CHECK_THROWS_WITH_AS(alpha(-0.5), "smooth: alpha -0.5 is outside of 0 to 1", Error);
    CHECK_THROWS_WITH_AS(alpha(1.5), "smooth: alpha 1.5 is outside of 0 to 1", Error);
    CHECK_NOTHROW(smooth(edited, seen, {0.5, false, true}));
    CHECK_NOTHROW(smooth(edited_gpt2, gpt2_seen, {0.5, false, false}));
    CHECK_THROWS_WITH_AS(smooth(edited_gpt2, gpt2_seen, {0.5, false, true}),
                         "smooth: gpt2's hidden channels pass a curve; a scale does not",
                         Error);

    CHECK_NOTHROW(inject_outlier(edited, 0, 2));
    CHECK_NOTHROW(inject_outlier(edited, 71, 0.5f));
    CHECK_THROWS_WITH_AS(inject_outlier(edited, -1, 2),
                         "outlier: channel -1 is outside of a width of 72", Error);
    CHECK_THROWS_WITH_AS(inject_outlier(edited, 72, 2),
                         "outlier: channel 72 is outside of a width of 72", Error);
    CHECK_THROWS_WITH_AS(inject_outlier(edited, 0, 0), "outlier: a factor of 0", Error);
    CHECK_THROWS_WITH_AS(inject_outlier(edited, 0, -2), "outlier: a factor of -2", Error);
    CHECK_THROWS_WITH_AS(inject_outlier(edited, 0, kInfiniteWeights),
                         "outlier: a factor of inf", Error);
}

TEST_CASE("messages: factors and triangles of numbers that are no matrix") {
    const std::vector<double> none, one = {1}, four = {1, 0, 0, 1};
    CHECK(left_svd(one, 1, 1).values == one);

    struct Size {
        Index rows, columns;
    };

    const auto svd = [](const std::vector<double>& a, Size size, const char* said) {
        CHECK_THROWS_WITH_AS(left_svd(a, size.rows, size.columns), said, Error);
    };
    svd(four, {1, 3}, "svd: 4 numbers are not [1, 3]");
    svd(four, {1, 5}, "svd: 4 numbers are not [1, 5]");
    svd(none, {0, 2}, "svd: 0 numbers are not [0, 2]");
    svd(none, {2, 0}, "svd: 0 numbers are not [2, 0]");
    svd(one, {-1, -1}, "svd: 1 numbers are not [-1, -1]");

    CHECK(cholesky(one, 1, 0) == one);
    const auto triangle = [](const std::vector<double>& a, Index n, const char* said) {
        CHECK_THROWS_WITH_AS(cholesky(a, n, 0), said, Error);
    };
    triangle(four, 1, "cholesky: 4 numbers are not [1, 1]");
    triangle(four, 3, "cholesky: 4 numbers are not [3, 3]");
    triangle(none, 0, "cholesky: 0 numbers are not [0, 0]");
    triangle(four, -2, "cholesky: 4 numbers are not [-2, -2]");
    triangle({0}, 1, "cholesky: the matrix is not positive definite at row 0");
    triangle({1, 1, 1, 1}, 2, "cholesky: the matrix is not positive definite at row 1");
}

TEST_CASE("messages: bases and ranks of a model's keys and values") {
    const Config config = small_config();
    const auto weights = make_synthetic(config, 80), gpt2 = make_synthetic(small_gpt2(), 1);
    const TextWindows text(random_tokens(101, config.vocab, 81), 0, 50);
    const Calibration with = calibrate(*weights, text, low_rank_calibration()),
                      without = calibrate(*weights, text);
    CHECK_NOTHROW(find_bases(*weights, &with));
    CHECK_THROWS_WITH_AS(find_bases(*weights, &without),
                         "low rank: the calibration has no gram of blk.0.attn_k.weight", Error);
    CHECK_THROWS_WITH_AS(find_bases(*gpt2),
                         "synthetic gpt2 seed 1: low rank: gpt2's keys have a bias, which lies "
                         "in no direction of the matrix",
                         Error);

    const Basis basis{1, {1}, {1}, 1};
    const std::vector<double> gram = {1, 0, 0, 1};
    CHECK(output_errors(basis, Tensor({1, 2}), gram).size() == 2);
    const char* const other = "low rank: an error of another matrix";
    CHECK_THROWS_WITH_AS(output_errors(basis, Tensor({2, 2}), gram), other, Error);
    CHECK_THROWS_WITH_AS(output_errors(basis, Tensor({1, 1}), gram), other, Error);
    CHECK_THROWS_WITH_AS(output_errors(basis, Tensor({1, 3}), gram), other, Error);

    const Bases bases{{basis, basis}, {basis, basis}};
    CHECK(progressive_ranks(bases, 1, 1) == std::vector<Index>{1, 1});
    CHECK_THROWS_WITH_AS(progressive_ranks({}, 1, 1),
                         "low rank: bases of the keys of 0 layers and of the values of 0",
                         Error);
    CHECK_THROWS_WITH_AS(progressive_ranks({{basis, basis}, {basis}}, 1, 1),
                         "low rank: bases of the keys of 2 layers and of the values of 1",
                         Error);
    CHECK_THROWS_WITH_AS(progressive_ranks(bases, 0, 1), "low rank: ranks from 0 to 1", Error);
    CHECK_THROWS_WITH_AS(progressive_ranks(bases, 2, 1), "low rank: ranks from 2 to 1", Error);
}

TEST_CASE("messages: plans, caches and slots of latents") {
    Config config = small_config();
    config.context = 20;
    const auto weights = make_synthetic(config, 80), gpt2 = make_synthetic(small_gpt2(), 1);
    const auto engine = make_cpu_engine();
    const std::shared_ptr<const Model> model = load_model(*weights, *engine),
                                       gpt2_model = load_model(*gpt2, *engine);
    const Bases bases = find_bases(*weights);
    const LatentRanks ranks{{3, 4}, {5, 6}};
    const auto plan = [&](const Bases& by, const LatentRanks& of) {
        return std::make_shared<const LatentPlan>(model, by, of, &formats::f32);
    };
    CHECK(plan(bases, ranks)->layers.size() == 2);
    CHECK_THROWS_WITH_AS(LatentPlan(gpt2_model, bases, ranks, &formats::f32),
                         "latents: expected a model with RoPE, found gpt2", Error);
    const char* const layers = "latents: bases or ranks of another number of layers than 2";
    CHECK_THROWS_WITH_AS(plan({{bases.keys[0]}, bases.values}, ranks), layers, Error);
    CHECK_THROWS_WITH_AS(plan({bases.keys, {bases.values[0]}}, ranks), layers, Error);
    CHECK_THROWS_WITH_AS(plan(bases, {{3}, {5, 6}}), layers, Error);
    CHECK_THROWS_WITH_AS(plan(bases, {{3, 4}, {5, 6, 7}}), layers, Error);
    Bases other = bases;
    other.values[1].size = 31;
    CHECK_THROWS_WITH_AS(plan(other, ranks),
                         "latents: bases of 32 and 31 numbers for keys of 32", Error);
    other.keys[0].size = 33;
    CHECK_THROWS_WITH_AS(plan(other, ranks),
                         "latents: bases of 33 and 32 numbers for keys of 32", Error);

    const auto cache = [&](Index capacity) {
        return make_latent_cache(plan(bases, ranks), capacity);
    };
    CHECK(cache(1)->room() == 1);
    CHECK(cache(20)->room() == 20);
    CHECK_THROWS_WITH_AS(cache(0), "latents: a capacity of 0; the model's context is 20",
                         Error);
    CHECK_THROWS_WITH_AS(cache(21), "latents: a capacity of 21; the model's context is 20",
                         Error);
    CHECK_THROWS_WITH_AS(make_latent_cache(nullptr, 20), "latents: no plan", Error);

    Latents latents(3, 2, true, &formats::f32);  // a tile of 64
    const float row[] = {1, 2};
    CHECK_NOTHROW(latents.write(63, row));
    CHECK_THROWS_WITH_AS(latents.write(64, row), "latents: there is no slot 64 of 64", Error);
    CHECK_THROWS_WITH_AS(latents.write(-1, row), "latents: there is no slot -1 of 64", Error);
}

TEST_SUITE_END();

}  // namespace kvlab::test
