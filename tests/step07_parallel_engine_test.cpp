// Several ranks against one engine: every logit of every rank, and every byte that travelled.
#include <doctest/doctest.h>

#include <cmath>

#include <kvlab/attention/synthetic.hpp>
#include <kvlab/quant/edited_weights.hpp>
#include <kvlab/quant/quantized_weights.hpp>
#include <kvlab/quant/weight_codec.hpp>
#include <kvlab/tensor/random.hpp>
#include <kvlab/weights/gguf_file.hpp>

#include "parallel_rig.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

constexpr SumWay kSumWays[] = {SumWay::gather, SumWay::blocks, SumWay::chain};

// Any number of ranks, in any way: the bits of one engine, and the bytes of the formula.
void check_same(const WeightSource& source,
                std::initializer_list<Index> counts,
                Format format = &formats::f32) {
    const ParallelRun alone = run_alone(source, format);
    for (const Index ranks : counts)
        for (const SumWay way : kSumWays) {
            CAPTURE(ranks);
            CAPTURE(way_name(way));
            const std::vector<ParallelRun> runs = run_on_ranks(source, ranks, way, format);
            Index bytes = 0;
            for (const ParallelRun& run : runs) {
                const Difference difference = compare_bits(run.logits, alone.logits);
                CHECK(difference.differ == 0);
                CHECK(difference.count > 1000);
                bytes += run.bytes;
            }
            CHECK(bytes == runs[0].expected);
            CHECK((bytes > 0) == (ranks > 1));
        }
}

}  // namespace

TEST_SUITE_BEGIN("step07");

TEST_CASE("parallel: the totals of ranks are another order and other bits") {
    const GgufFile tiny = GgufFile::open(weights_file("tiny.gguf"));
    const ParallelRun alone = run_alone(tiny, &formats::f32);
    for (const Index ranks : {1, 2, 3}) {
        CAPTURE(ranks);
        Index bytes = 0;
        const std::vector<ParallelRun> runs = run_on_ranks(tiny, ranks, SumWay::totals);
        for (const ParallelRun& run : runs) {
            // Three blocks of F: on three ranks each total is one block, so the order is ours.
            const Difference difference = compare_bits(run.logits, alone.logits);
            CHECK((difference.differ > 1000) == (ranks == 2));
            CHECK(difference.max_abs < 1e-3);
            bytes += run.bytes;
        }
        CHECK(bytes == runs[0].expected);
    }
}

TEST_CASE("parallel: the tiny model on 1 to 4 ranks has the bits of one engine") {
    const GgufFile tiny = GgufFile::open(weights_file("tiny.gguf"));
    check_same(tiny, {1, 2, 3, 4});
}

TEST_CASE("parallel: a cache of int8 or f16 is the same cache on any rank") {
    const GgufFile tiny = GgufFile::open(weights_file("tiny.gguf"));
    check_same(tiny, {2, 3}, &formats::int8);
    check_same(tiny, {2}, &formats::f16);
}

TEST_CASE("parallel: awkward sizes and every way to share heads") {
    for (const Index kv_heads : {1, 2, 4}) {
        CAPTURE(kv_heads);
        check_same(*make_synthetic(small_config(4, kv_heads), 7), {2, 3});
    }
    check_same(*make_synthetic(small_config(6, 3, 24), 8), {2, 5});
}

TEST_CASE("parallel: biases and learned positions") {
    check_same(*make_synthetic(small_gpt2(), 9), {1, 2, 4});
}

TEST_CASE("parallel: matrices in the formats of files are cut at their blocks") {
    Config c = small_config(8, 4, 32);
    c.dim = 256;
    c.ffn = 512;
    const std::unique_ptr<WeightSource> floats = make_synthetic(c, 10);
    for (const TensorType type : {TensorType::q8_0, TensorType::q4_1, TensorType::f16}) {
        CAPTURE(type_name(type));
        const std::unique_ptr<WeightCodec> codec = make_type_codec(type);
        const QuantizedWeights weights = quantize_weights(*floats, *codec);
        check_same(*weights.weights, {3});
    }
}

TEST_CASE("parallel: blocks of 256 inputs are larger than those of a sum and cut as floats") {
    Config c = small_config(8, 4, 32);
    c.dim = 256;
    c.ffn = 512;
    const std::unique_ptr<WeightSource> floats = make_synthetic(c, 10);
    EditedWeights weights(*floats);
    Rng rng(5);
    for (const TensorInfo& tensor : floats->tensors()) {
        if (tensor.shape.rank() != 2) continue;
        const Index blocks = tensor.shape.size() / 256, bytes = block_bytes(TensorType::q4_k);
        std::vector<std::byte> codes(usize(blocks * bytes));
        for (std::byte& code : codes) code = static_cast<std::byte>(rng.below(256));
        // d and dmin as f16: small numbers, so that logits stay finite.
        for (Index b = 0; b < blocks; ++b)
            for (const Index scale : {1, 3}) at(codes, b * bytes + scale) = std::byte{0x04};
        weights.replace(tensor.name, TensorType::q4_k, std::move(codes));
    }
    check_same(weights, {3});
}

// A tiny negative product at the end of a block makes the block -0. If all blocks are, the
// total is -0; one that began as 0 plus its first block would be +0.
TEST_CASE("parallel: a total begins as its first block and keeps a zero's sign") {
    const Index K = 172;
    Tensor w({64, K}), x({1, K});
    for (const Index last : {63, 127, 171}) {
        w(0, last) = -0x1p-100f;
        x(0, last) = 0x1p-100f;
    }
    const TensorInfo tensor{
        "blk.0.ffn_down.weight", TensorType::f32, {64, K}, std::as_bytes(w.flat())};
    const TensorInfo* const one[] = {&tensor};
    for (const SumWay way : kSumWays)
        run_thread_ranks(3, [&](Ranks& ranks) {
            const ParallelPlan plan(tiny_config(), 3);
            const std::unique_ptr<Engine> engine =
                make_parallel_engine(make_cpu_engine(), ranks, plan, way);
            Tensor y({1, 64});
            engine->linear(*engine->load_matrix(one), nullptr, x.view(), y.view());
            const std::unique_ptr<Engine> alone = make_cpu_engine();
            Tensor expected({1, 64});
            alone->linear(*alone->load_matrix(one), nullptr, x.view(), expected.view());
            CHECK(compare_bits(y.flat(), expected.flat()).differ == 0);
            CHECK(std::signbit(y(0, 0)));
            CHECK_FALSE(std::signbit(y(0, 1)));
        });
}

TEST_CASE("parallel: what a rank keeps is a part, and all parts are the whole") {
    const GgufFile tiny = GgufFile::open(weights_file("tiny.gguf"));
    const std::unique_ptr<Engine> engine = make_cpu_engine();
    const std::shared_ptr<const Model> whole = load_model(tiny, *engine);
    const Config& c = whole->config;
    std::vector<Index> cache(3), ffn(3);
    run_thread_ranks(3, [&](Ranks& ranks) {
        const ParallelPlan plan(c, 3);
        const std::unique_ptr<Engine> own =
            make_parallel_engine(make_cpu_engine(), ranks, plan);
        const std::shared_ptr<const Model> model = load_model(tiny, *own);
        Decoder decoder(model, *own);
        const auto store = make_head_store(
            decoder.kv_shape(), plan.share(ranks.rank()), 64,
            [](const KvShape& shape) { return make_cache(&formats::f32, shape, 64); });
        decoder.forward(*store, random_tokens(10, c.vocab, 3));
        CHECK(store->next_position() == 10);
        at(cache, ranks.rank()) = store->bytes().logical;
        at(ffn, ranks.rank()) = model->layers[0].down.weight->bytes();
        CHECK(own->name() == concat("rank ", ranks.rank(), " of 3, ", engine->name()));
    });
    // Two KV heads: the third rank has no cache. One panel of 64 outputs: the last rank's.
    CHECK(cache == std::vector<Index>{10 * 2 * c.layers * c.head_dim * 4,
                                      10 * 2 * c.layers * c.head_dim * 4, 0});
    CHECK(ffn == std::vector<Index>{0, 0, whole->layers[0].down.weight->bytes()});
}

TEST_CASE("parallel: a rank that fails ends the step of all with a word about it") {
    const GgufFile tiny = GgufFile::open(weights_file("tiny.gguf"));
    std::vector<std::string> words(3);
    CHECK_THROWS_WITH_AS(run_thread_ranks(3,
                                          [&](Ranks& ranks) {
                                              try {
                                                  if (ranks.rank() == 1)
                                                      throw Error("rank 1 has no weights");
                                                  run_rank(tiny, ranks, SumWay::gather,
                                                           &formats::f32);
                                              } catch (const Error& error) {
                                                  at(words, ranks.rank()) = error.what();
                                                  throw;
                                              }
                                          }),
                         "rank 1 has no weights", Error);
    CHECK(words[0].find("rank 0 waits in vain: rank ") == 0);
    CHECK(words[2].find("rank 2 waits in vain: rank ") == 0);
}

TEST_CASE("parallel: what does not fit together is refused") {
    run_thread_ranks(2, [&](Ranks& ranks) {
        const ParallelPlan three(tiny_config(), 3), two(tiny_config(), 2);
        CHECK_THROWS_WITH_AS(make_parallel_engine(make_cpu_engine(), ranks, three),
                             "parallel engine: a plan for 3 ranks, there are 2", Error);
        const std::unique_ptr<Engine> engine =
            make_parallel_engine(make_cpu_engine(), ranks, two);
        const std::vector<float> numbers(64 * 64);
        const TensorInfo tensor{"blk.0.ssm_in.weight",
                                TensorType::f32,
                                {64, 64},
                                std::as_bytes(std::span(numbers))};
        const TensorInfo* const one[] = {&tensor};
        CHECK_THROWS_WITH_AS(engine->load_matrix(one),
                             "parallel engine: nobody knows how to split tensor "
                             "'blk.0.ssm_in.weight'",
                             Error);
        const std::unique_ptr<Engine> other = make_cpu_engine();
        const std::unique_ptr<Matrix> matrix = other->load_matrix(one);
        Tensor x({1, 64}), y({1, 64});
        CHECK_THROWS_WITH_AS(engine->linear(*matrix, nullptr, x.view(), y.view()),
                             "parallel engine: this matrix belongs to another engine", Error);
    });
    const auto make = [](const KvShape& shape) { return make_cache(&formats::f32, shape, 8); };
    const ParallelPlan plan(tiny_config(), 2);
    CHECK_THROWS_WITH_AS(make_head_store({2, 4, 4, 16}, plan.share(0), 8, make),
                         "head store: this share is of another model", Error);
    CHECK_THROWS_WITH_AS(make_head_store({2, 4, 2, 16}, plan.share(0), 8,
                                         [&](const KvShape&) {
                                             return make({2, 4, 2, 16});
                                         }),
                         "head store: expected a cache of 1 KV heads", Error);
}

TEST_SUITE_END();
