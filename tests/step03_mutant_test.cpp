// The cases that catch the mutants of tests/mutants: a cache in every use that real ones got
// wrong, against the plain loops of chapter 2, bit for bit.
#include <doctest/doctest.h>

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/decoder.hpp>
#include <kvlab/attention/plain_decoder.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/kvcache/kv_cache.hpp>
#include <kvlab/tensor/checksum.hpp>

#include "models.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

// One model with its plain loops, and a decoder whose caches are to be judged.
struct Bench {
    explicit Bench(const Config& config)
        : source(make_synthetic(config, 42)),
          plain(*source),
          engine(make_cpu_engine()),
          decoder(load_model(*source, *engine), *engine) {}

    // Feeds `tokens` to the store in the given pieces (the last is repeated until the end) and
    // compares the logits of each piece, starting at position `first` of the text `whole`, with
    // the plain loops over the whole text.
    Difference feed(KvStore& store,
                    std::span<const Token> text,
                    std::span<const Index> pieces) {
        const Tensor expected = plain.forward(text);
        const Index T = static_cast<Index>(text.size()), V = plain.config().vocab;
        Difference difference;
        std::size_t piece = 0;
        while (store.next_position() < T) {
            const Index begin = store.next_position(), n = std::min(pieces[piece], T - begin);
            if (piece + 1 < pieces.size()) ++piece;
            const auto tokens =
                text.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(n));
            const auto logits = decoder.forward(store, tokens, LogitsOf::all).flat();
            difference.merge(compare_bits(
                logits, expected.flat().subspan(static_cast<std::size_t>(begin * V),
                                                static_cast<std::size_t>(n * V))));
            if (store.next_position() != begin + n) break;  // it forgot or it counts wrong
        }
        CHECK(store.next_position() == T);
        CHECK(difference.differ == 0);
        return difference;
    }

    Difference feed(KvStore& store,
                    std::span<const Token> text,
                    std::initializer_list<Index> pieces) {
        return feed(store, text, std::span(pieces.begin(), pieces.size()));
    }

    std::vector<Token> text(Index n, std::uint64_t seed = 1) const {
        return random_tokens(n, plain.config().vocab, seed);
    }

    std::unique_ptr<WeightSource> source;
    PlainDecoder plain;
    std::unique_ptr<Engine> engine;
    Decoder decoder;
};

}  // namespace

TEST_SUITE_BEGIN("step03");

TEST_CASE("3.5 oracle: a prompt and then one token at a time") {
    Bench bench(tiny_config());
    KvCache cache(bench.decoder.kv_shape(), 64);
    bench.feed(cache, bench.text(30), {5, 1});
}

TEST_CASE("3.5 oracle: a text of more than one tile") {
    Bench bench(tiny_config());
    KvCache cache(bench.decoder.kv_shape(), 200);
    bench.feed(cache, bench.text(150), {70, 1});
}

TEST_CASE("3.5 oracle: a prompt in pieces") {
    Bench bench(tiny_config());
    const auto text = bench.text(150);
    for (const Index piece : {1, 7, 64, 150}) {
        CAPTURE(piece);
        KvCache cache(bench.decoder.kv_shape(), 150);
        bench.feed(cache, text, {piece});
    }
}

TEST_CASE("3.5 oracle: a head width that leaves padding") {
    Bench bench(small_config(4, 2, 20));
    KvCache cache(bench.decoder.kv_shape(), 64);
    bench.feed(cache, bench.text(40), {9, 1});
}

TEST_CASE("3.5 oracle: sums of six blocks") {
    Config config = tiny_config();
    config.ffn = 352;  // as in deep.gguf
    Bench bench(config);
    KvCache cache(bench.decoder.kv_shape(), 64);
    bench.feed(cache, bench.text(20), {5, 1});
}

TEST_CASE("3.5 oracle: learned positions and biases") {
    Bench bench(small_gpt2());
    KvCache cache(bench.decoder.kv_shape(), 64);
    bench.feed(cache, bench.text(30), {6, 1});
}

TEST_CASE("3.5 oracle: a batch of unequal lengths") {
    Bench bench(tiny_config());
    const std::vector<Token> texts[] = {bench.text(24, 1), bench.text(15, 2),
                                        bench.text(19, 3)};
    std::vector<KvCache> caches;
    std::vector<Tensor> expected;
    std::vector<Index> fed = {9, 1, 4};  // the prompts
    for (const auto& text : texts) {
        caches.emplace_back(bench.decoder.kv_shape(), 64);
        expected.push_back(bench.plain.forward(text));
    }
    for (bool first = true; fed[0] <= 24; first = false) {
        std::vector<SequenceStep> batch;
        std::vector<std::size_t> numbers;
        for (std::size_t s = 0; s < 3; ++s) {
            if (fed[s] > static_cast<Index>(texts[s].size())) continue;
            const Index begin = caches[s].next_position();
            REQUIRE(begin == (first ? 0 : fed[s] - 1));
            batch.push_back(
                {&caches[s],
                 std::span(texts[s]).subspan(static_cast<std::size_t>(begin),
                                             static_cast<std::size_t>(fed[s] - begin)),
                 LogitsOf::last});
            numbers.push_back(s);
        }
        const View<const float> logits = bench.decoder.forward(batch);
        for (std::size_t i = 0; i < numbers.size(); ++i) {
            const std::size_t s = numbers[i];
            CAPTURE(s);
            CAPTURE(fed[s]);
            CHECK(compare_bits(logits[static_cast<Index>(i)].flat(),
                               std::as_const(expected[s]).view()[fed[s] - 1].flat())
                      .differ == 0);
            ++fed[s];
        }
    }
}

TEST_CASE("3.5 oracle: truncate goes on as if the rest had never come") {
    Bench bench(tiny_config());
    KvCache cache(bench.decoder.kv_shape(), 128);
    const auto first = bench.text(80, 1);
    auto second = bench.text(90, 2);
    bench.feed(cache, first, {80});
    cache.truncate(33);
    REQUIRE(cache.next_position() == 33);
    std::copy_n(first.begin(), 33, second.begin());
    bench.feed(cache, second, {11, 1});
}

TEST_CASE("3.5 oracle: a used cache is as good as a new one") {
    Bench bench(tiny_config());
    KvCache cache(bench.decoder.kv_shape(), 128);
    bench.feed(cache, bench.text(100, 1), {100});
    cache.reset();
    REQUIRE(cache.next_position() == 0);
    bench.feed(cache, bench.text(20, 2), {6, 1});
}

TEST_CASE("3.5 oracle: a fork goes its own way") {
    Bench bench(tiny_config());
    for (const Index length : {63, 64, 70}) {
        CAPTURE(length);
        KvCache cache(bench.decoder.kv_shape(), 128);
        auto one = bench.text(length + 8, 1), two = bench.text(length + 8, 2);
        std::copy_n(one.begin(), length, two.begin());
        bench.feed(cache, std::span(one).first(static_cast<std::size_t>(length)), {length});
        const auto fork = cache.fork();
        bench.feed(cache, one, {1});
        bench.feed(*fork, two, {1});
    }
}

TEST_CASE("3.5 oracle: a full cache takes no more and stays as it was") {
    Bench bench(tiny_config());
    KvCache cache(bench.decoder.kv_shape(), 20);
    const auto text = bench.text(20);
    CHECK_THROWS_AS(cache.begin(21), Error);
    CHECK_THROWS_AS(cache.begin(0), Error);
    bench.feed(cache, text, {7, 1});
    CHECK(cache.room() == 0);
    CHECK_THROWS_AS(cache.begin(1), Error);
    cache.truncate(19);
    bench.feed(cache, text, {1});
}

TEST_SUITE_END();
