// The C interface: numbers. Attention against a second loop and against double, the cache
// against the whole text, forks, and several threads.
#include "c_api.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <thread>

#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/decoder.hpp>
#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/kvcache/recorder.hpp>
#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/numerics.hpp>
#include <kvlab/tensor/random.hpp>
#include <kvlab/weights/gguf_file.hpp>

using namespace kvlab;
using namespace kvlab::test;

namespace {

struct Attended {
    explicit Attended(const kvlab_attention_shape& s) : shape(s) {
        Rng rng(5);
        const auto draw = [&](Index n) {
            std::vector<float> x(usize(n));
            for (float& value : x) value = rng.normal();
            return x;
        };
        q = draw(s.T * s.heads * s.head_dim);
        k = draw(s.S * s.kv_heads * s.head_dim);
        v = draw(s.S * s.kv_heads * s.head_dim);
        out.resize(q.size());
    }

    void run() { must(kvlab_attention(&shape, q.data(), k.data(), v.data(), out.data())); }

    // The definition, in double.
    double expected(Index t, Index h, Index i) const {
        const auto [T, S, Hq, Hkv, D] = shape;
        const Index kv = h / (Hq / Hkv);
        double total = 0, sum = 0;
        for (Index s = 0; s <= S - T + t; ++s) {
            double score = 0;
            for (Index d = 0; d < D; ++d)
                score += static_cast<double>(at(q, (t * Hq + h) * D + d)) *
                         static_cast<double>(at(k, (s * Hkv + kv) * D + d));
            const double weight = std::exp(score / std::sqrt(static_cast<double>(D)));
            total += weight;
            sum += weight * static_cast<double>(at(v, (s * Hkv + kv) * D + i));
        }
        return sum / total;
    }

    kvlab_attention_shape shape;
    std::vector<float> q, k, v, out;
};

}  // namespace

TEST_SUITE_BEGIN("api");

TEST_CASE("api attention: causal softmax of q k / sqrt D for heads that share keys") {
    for (const kvlab_attention_shape& shape :
         {kvlab_attention_shape{5, 5, 4, 2, 16}, kvlab_attention_shape{1, 70, 3, 3, 5},
          kvlab_attention_shape{3, 66, 4, 1, 8}}) {
        CAPTURE(shape.S);
        Attended a(shape);
        a.run();
        for (Index t = 0; t < shape.T; ++t)
            for (Index h = 0; h < shape.heads; ++h)
                for (Index i = 0; i < shape.head_dim; ++i) {
                    const float found = at(a.out, (t * shape.heads + h) * shape.head_dim + i);
                    // Sums of some 70 products of numbers near 1: a few hundred roundings.
                    CHECK(std::fabs(static_cast<double>(found) - a.expected(t, h, i)) < 1e-5);
                }
    }
}

TEST_CASE("api attention: the bits of the decoder") {
    const auto tokens = some_tokens(9);
    const auto engine = make_cpu_engine();
    Decoder decoder(load_model(GgufFile::open(kTiny), *engine), *engine);
    Recorder recorder;
    decoder.set_observer(&recorder);
    WholeSequence whole(decoder.kv_shape(), 9);
    decoder.forward(whole, tokens);
    const auto& c = decoder.config();
    const auto record = [&](Op op) {
        for (const OpRecord& r : recorder.step())
            if (r.op == op && r.layer == 0) return r;
        throw Error("not recorded");
    };
    OpRecord q = record(Op::query);
    const OpRecord k = record(Op::key), v = record(Op::value), mixed = record(Op::attention);
    // A query that the interface scales to the recorded one, if there is such a float.
    const float scale = log2e_over(std::sqrt(static_cast<double>(c.head_dim)));
    Index without = 0;
    for (float& x : q.rows) {
        float unscaled = x / scale;
        for (const float near :
             {unscaled, std::nextafterf(unscaled, -1e9f), std::nextafterf(unscaled, 1e9f)})
            if (near * scale == x) unscaled = near;
        without += unscaled * scale != x;
        x = unscaled;
    }
    CHECK(without == 0);  // the scale is less than 1, so floats are denser before it
    const kvlab_attention_shape shape{9, 9, c.heads, c.kv_heads, c.head_dim};
    std::vector<float> out(mixed.rows.size());
    must(kvlab_attention(&shape, q.rows.data(), k.rows.data(), v.rows.data(), out.data()));
    CHECK(compare_bits(out, mixed.rows).differ == 0);
}

TEST_CASE("api checksum: the contract's") {
    const std::vector<float> values = {1.0f, -0.0f, 3.5f};
    uint64_t sum = 0;
    must(kvlab_checksum(values.data(), 3, &sum));
    CHECK(sum == checksum(values));
    must(kvlab_checksum(nullptr, 0, &sum));
    CHECK(sum == checksum({}));
}

TEST_CASE("api model: configuration and tokens are those of the file") {
    const ModelHandle model;
    CHECK(model.config.vocab == 256);
    CHECK(model.config.layers == 2);
    CHECK(model.config.heads == 4);
    CHECK(model.config.kv_heads == 2);
    CHECK(model.config.head_dim == 16);
    CHECK(model.config.architecture == 0);
    CHECK(std::string(model.config.name) == "kvlab-tiny");
    int32_t tokens[8];
    int64_t count = 0;
    must(kvlab_model_encode(model, "And", tokens, 8, &count));
    CHECK(count >= 3);
    CHECK(tokens[count - 1] == 'd');
    check_refused(kvlab_model_encode(model, "And", tokens, 1, &count), KVLAB_NO_ROOM,
                  concat("kvlab_model_encode: tokens: ", count, " of them, room for 1"));
}

TEST_CASE("api model: tensors are the file's as floats") {
    const ModelHandle model;
    const GgufFile file = GgufFile::open(kTiny);
    int64_t count = 0;
    must(kvlab_model_tensor_count(model, &count));
    REQUIRE(count == std::ssize(file.tensors()));
    for (int64_t i = 0; i < count; ++i) {
        kvlab_tensor_info info;
        must(kvlab_model_tensor_info(model, i, &info));
        const TensorInfo& tensor = file.tensor(info.name);
        CHECK(info.rank == tensor.shape.rank());
        int64_t size = 1;
        for (const int64_t extent : info.shape) size *= extent;
        REQUIRE(size == tensor.shape.size());
        std::vector<float> values(usize(size));
        must(kvlab_model_tensor(model, info.name, values.data(), size));
        const Tensor expected = to_f32(tensor);
        CHECK(compare_bits(values, expected.flat()).differ == 0);
    }
}

TEST_CASE("api cache: every bit of the whole text, whole, in pieces and token by token") {
    const ModelHandle model;
    const auto tokens = some_tokens(70);
    const std::vector<float> whole = model.logits(tokens);
    for (const std::size_t piece : {1, 3, 64, 70}) {
        CAPTURE(piece);
        CacheHandle cache(model, 70);
        std::vector<float> found;
        for (std::size_t i = 0; i < tokens.size(); i += piece) {
            const auto end = tokens.begin() +
                             static_cast<std::ptrdiff_t>(std::min(i + piece, tokens.size()));
            const auto rows =
                cache.decode({tokens.begin() + static_cast<std::ptrdiff_t>(i), end});
            found.insert(found.end(), rows.begin(), rows.end());
        }
        CHECK(compare_bits(whole, found).differ == 0);
    }
    CacheHandle last(model, 70);
    const auto row = last.decode(tokens, KVLAB_LAST_ROW);
    CHECK(compare_bits(row, std::span(whole).last(256)).differ == 0);
}

TEST_CASE("api cache: truncate forgets and fork copies") {
    const ModelHandle model;
    const auto tokens = some_tokens(40);
    CacheHandle cache(model, 40);
    cache.decode({tokens.begin(), tokens.begin() + 30});
    kvlab_cache copied{0};
    must(kvlab_cache_fork(cache, &copied));
    CacheHandle copy(copied, 256);
    must(kvlab_cache_truncate(cache, 10));
    CHECK(cache.info().length == 10);
    CHECK(copy.info().length == 30);
    CHECK(copy.info().capacity == 40);
    CHECK(cache.info().bytes_held == 10 * 2 * 2 * 2 * 16 * 4);
    CHECK(cache.info().bytes_allocated >= 40 * 2 * 2 * 2 * 16 * 4);
    const auto a = cache.decode({tokens.begin() + 10, tokens.begin() + 31});
    const auto b = copy.decode({tokens[30]});
    CHECK(compare_bits(std::span(a).last(256), b).differ == 0);
    must(kvlab_cache_free(cache));  // the copy does not need it
    const auto whole = model.logits({tokens.begin(), tokens.begin() + 32});
    CHECK(compare_bits(copy.decode({tokens[31]}), std::span(whole).last(256)).differ == 0);
}

TEST_CASE("api cache: outlives the handle of its model") {
    auto model = std::make_unique<ModelHandle>();
    const auto expected = model->logits(some_tokens(5));
    CacheHandle cache(*model);
    model.reset();
    const auto found = cache.decode(some_tokens(5));
    CHECK(compare_bits(expected, found).differ == 0);
    kvlab_cache copy{0};
    must(kvlab_cache_fork(cache, &copy));
    must(kvlab_cache_free(copy));
}

TEST_CASE("api threads: caches of one model side by side, one cache shared, errors apart") {
    const ModelHandle model;
    const auto tokens = some_tokens(24);
    const auto expected = model.logits(tokens);
    CacheHandle shared(model, 200);
    std::vector<std::thread> threads;
    std::vector<int> wrong(4, 0);  // doctest's checks are for one thread
    for (std::size_t i = 0; i < wrong.size(); ++i)
        threads.emplace_back([&, i] {
            std::vector<float> row(256), rows(tokens.size() * 256);
            kvlab_cache cache{0};
            wrong[i] += kvlab_cache_new(model, 24, &cache) != KVLAB_OK;
            wrong[i] += kvlab_cache_decode(cache, tokens.data(), 24, KVLAB_ALL_ROWS, {0},
                                           rows.data(), std::ssize(rows)) != KVLAB_OK;
            wrong[i] += compare_bits(rows, expected).differ != 0;
            for (int n = 0; n < 20; ++n)
                wrong[i] += kvlab_cache_decode(shared, tokens.data(), 1, KVLAB_LAST_ROW, {0},
                                               row.data(), 256) != KVLAB_OK;
            wrong[i] +=
                kvlab_cache_truncate(cache, -1 - static_cast<int64_t>(i)) != KVLAB_BAD_ARGUMENT;
            const std::string mine =
                concat("kvlab_cache_truncate: length: expected 0 to 24, found ", -1 - int(i));
            wrong[i] += kvlab_last_error() != mine;
            wrong[i] += kvlab_cache_free(cache) != KVLAB_OK;
        });
    for (std::thread& thread : threads) thread.join();
    CHECK(wrong == std::vector<int>(4, 0));
    CHECK(shared.info().length == 80);
    CacheHandle alone(model, 200);
    const std::vector<int32_t> same(80, tokens[0]);
    const auto one = alone.decode(same, KVLAB_LAST_ROW);
    must(kvlab_cache_truncate(shared, 79));
    CHECK(compare_bits(shared.decode({tokens[0]}), one).differ == 0);
}

TEST_SUITE_END();
