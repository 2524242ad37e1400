// Generation and scores at their borders, with the right answers from a second, plain way to
// them. What breaks here: a reason that is told one step late, a target that is an input, a
// head that reads its neighbour's keys.
#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/generate.hpp>
#include <kvlab/attention/score.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/tensor/numerics.hpp>

#include "models.hpp"
#include "random_data.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

struct Rig {
    explicit Rig(const Config& config)
        : engine(make_cpu_engine()),
          decoder(load_model(*make_synthetic(config, 7), *engine), *engine) {}

    MakeStore make_store() {
        return
            [this](Index n) { return std::make_unique<WholeSequence>(decoder.kv_shape(), n); };
    }

    std::unique_ptr<Engine> engine;
    Decoder decoder;
};

// -log2 of the softmax, term by term.
double bits_of(std::span<const float> logits, Token token) {
    double total = 0;
    for (const float logit : logits) total += std::exp(static_cast<double>(logit));
    return std::log2(total) - static_cast<double>(at(logits, token)) / std::log(2.0);
}

}  // namespace

TEST_SUITE_BEGIN("step02");

TEST_CASE("borders: the reason of the last step is that of the last token") {
    Rig rig(small_config());
    const auto prompt = random_tokens(5, rig.decoder.config().vocab, 4);
    const auto run = [&](Index steps, const Generator::IsEnd& is_end, Index capacity = 40) {
        WholeSequence store(rig.decoder.kv_shape(), capacity);
        Generator generator(rig.decoder);
        generator.add(store, prompt, steps, {.temperature = 1.5f, .seed = 5});
        generator.set_is_end(is_end);
        generator.run();
        CHECK_FALSE(generator.step());  // nothing is left to do
        return std::pair(static_cast<Index>(generator.generated(0).size()),
                         generator.finish(0));
    };
    const auto nowhere = [](Token) { return false; };
    const auto everywhere = [](Token) { return true; };
    const auto at = [](int place) {
        return [place, count = 0](Token) mutable { return ++count == place; };
    };
    CHECK(run(0, everywhere) == std::pair(Index{0}, Finish::length));
    CHECK(run(1, everywhere) == std::pair(Index{1}, Finish::end_token));
    CHECK(run(1, nowhere) == std::pair(Index{1}, Finish::length));
    CHECK(run(6, at(5)) == std::pair(Index{5}, Finish::end_token));
    CHECK(run(6, at(6)) == std::pair(Index{6}, Finish::end_token));  // both at once
    CHECK(run(6, at(7)) == std::pair(Index{6}, Finish::length));
    // 5 of the prompt and n - 1 of what was generated are to be held at once.
    CHECK(run(6, nowhere, 10) == std::pair(Index{6}, Finish::length));
    CHECK(run(6, nowhere, 9) == std::pair(Index{5}, Finish::context_full));
    CHECK(run(6, at(5), 9) == std::pair(Index{5}, Finish::end_token));
}

TEST_CASE("borders: sequences end each for itself and are told apart") {
    Rig rig(small_config());
    const Index vocab = rig.decoder.config().vocab;
    std::vector<std::unique_ptr<KvStore>> stores;
    Generator generator(rig.decoder);
    for (const Index steps : {3, 0, 5, 1}) {
        stores.push_back(rig.make_store()(20));
        CHECK(generator.add(*stores.back(), random_tokens(4 + steps, vocab, 8), steps) ==
              std::ssize(stores) - 1);
    }
    std::vector<Index> order;
    generator.set_on_token(
        [&](Index sequence, Token, View<const float>) { order.push_back(sequence); });
    generator.run();
    CHECK(order == std::vector<Index>{0, 2, 3, 0, 2, 0, 2, 2, 2});
    for (Index s = 0; s < 4; ++s) {
        const Index steps = std::vector<Index>{3, 0, 5, 1}[usize(s)];
        CHECK(static_cast<Index>(generator.generated(s).size()) == steps);
        CHECK(static_cast<Index>(generator.tokens(s).size()) == 4 + 2 * steps);
        CHECK(generator.finish(s) == Finish::length);
    }
    CHECK_THROWS_WITH_AS(generator.finish(4), "generate: there is no sequence 4", Error);
    CHECK_THROWS_AS(generator.tokens(-1), Error);
}

TEST_CASE("borders: bits per byte are of the targets, and of each of them once") {
    Config config = tiny_config();
    config.context = 16;
    Rig rig(config);
    std::vector<std::uint8_t> text;
    for (const Token token : random_tokens(35, 256, 6))
        text.push_back(static_cast<std::uint8_t>(token));
    for (const Index window : {1, 2, 15, 16}) {
        CAPTURE(window);
        double total = 0;
        const Index windows = 35 / window;
        for (Index w = 0; w < windows; ++w) {
            std::vector<Token> input = {0};
            for (Index i = 0; i < window; ++i) {
                const auto store = rig.make_store()(window);
                const Token target = at(text, w * window + i);
                total += bits_of(rig.decoder.forward(*store, input).flat(), target);
                input.push_back(target);
            }
        }
        const BitsPerByte bits = bits_per_byte(rig.decoder, rig.make_store(), text, 0, window);
        CHECK(bits.windows == windows);
        CHECK(bits.bytes == windows * window);
        CHECK(bits.bits ==
              doctest::Approx(total / static_cast<double>(bits.bytes)).epsilon(1e-12));
    }
    CHECK_THROWS_AS(bits_per_byte(rig.decoder, rig.make_store(), text, 0, 17), Error);
    CHECK_THROWS_AS(bits_per_byte(rig.decoder, rig.make_store(), text, 0, 0), Error);
}

TEST_CASE("borders: windows of a text that is a window and one token less or more") {
    const auto tokens = random_tokens(17, 90, 2);
    const auto count = [&](std::size_t length, Token bos, Index most = 0) {
        return TextWindows(std::span(tokens).first(length), bos, 8, most).count();
    };
    CHECK_THROWS_AS(count(7, 1), Error);
    CHECK(count(8, 1) == 1);
    CHECK(count(15, 1) == 1);
    CHECK(count(16, 1) == 2);
    CHECK_THROWS_AS(count(8, kNoToken), Error);  // the first goes in and is not scored
    CHECK(count(9, kNoToken) == 1);
    CHECK(count(17, kNoToken) == 2);
    CHECK(count(17, 1, 1) == 1);
    CHECK(count(17, 1, 3) == 2);
    const TextWindows windows(tokens, kNoToken, 8);
    CHECK(windows.input(1) == std::vector<Token>(tokens.begin() + 8, tokens.begin() + 16));
    CHECK(std::vector<Token>(windows.targets(1).begin(), windows.targets(1).end()) ==
          std::vector<Token>(tokens.begin() + 9, tokens.end()));
}

TEST_CASE("borders: an answer may be the first and the last byte of its case") {
    Rig rig(tiny_config());
    WholeSequence store(rig.decoder.kv_shape(), 16);
    const auto next = [&](std::vector<Token> text) {
        return static_cast<char>(argmax(rig.decoder.forward(store, text).flat()));
    };
    const char first = next({0});
    const char second = next({0, static_cast<std::uint8_t>(first)});
    const auto right = [&](const std::string& text, std::vector<Index> answers) {
        return right_answers(rig.decoder, store, {"recall", 1, text, std::move(answers)}, 0);
    };
    const std::string good{first, second};
    CHECK(right(good, {0, 1}) == 2);
    CHECK(right(good, {1}) == 1);
    CHECK(right({static_cast<char>(first ^ 1), second}, {0}) == 0);
    CHECK(right(good, {}) == 0);
    CHECK_THROWS_WITH_AS(right(good, {2}), "recall: answer 2 is outside of its text", Error);
    CHECK_THROWS_AS(right(good, {-1}), Error);
}

TEST_CASE("borders: the sink is a mean over queries and all heads of a group") {
    for (const Config& shape :
         {small_config(6, 2, 8), small_config(4, 1, 8), small_config(3, 3, 8)}) {
        Config config = shape;
        config.layers = 2;
        CAPTURE(config.kv_heads);
        Rig rig(config);
        const auto tokens = random_tokens(12, config.vocab, 1);

        // The same by hand: rows of queries and keys are kept, weights are a softmax in double
        // of 2^score, which is what the kernels weigh with.
        struct Keeper final : Observer {
            void on(Op op,
                    Index,
                    const View<const float>& rows,
                    std::span<const Index>) override {
                if (op != Op::query && op != Op::key) return;
                auto& kept = op == Op::query ? queries : keys;
                kept.emplace_back();
                for (Index t = 0; t < rows.dim(0); ++t)
                    for (Index c = 0; c < rows.dim(1); ++c)
                        kept.back().push_back(static_cast<double>(rows(t, c)));
            }

            std::vector<std::vector<double>> queries, keys;  // by layer
        } keeper;

        WholeSequence store(rig.decoder.kv_shape(), 12);
        rig.decoder.set_observer(&keeper);
        rig.decoder.forward(store, tokens);
        rig.decoder.set_observer(nullptr);
        const Index D = config.head_dim, group = config.heads / config.kv_heads;
        for (const Index from : {0, 5, 11}) {
            const auto mass = sink_mass(rig.decoder, store, tokens, from);
            REQUIRE(mass.size() == 2);
            for (std::size_t layer = 0; layer < 2; ++layer) {
                double sum = 0;
                for (Index h = 0; h < config.heads; ++h)
                    for (Index t = from; t < 12; ++t) {
                        double first = 0, total = 0;
                        for (Index s = 0; s <= t; ++s) {
                            double score = 0;
                            for (Index i = 0; i < D; ++i)
                                score +=
                                    keeper
                                        .queries[layer][usize((t * config.heads + h) * D + i)] *
                                    keeper.keys[layer][usize(
                                        (s * config.kv_heads + h / group) * D + i)];
                            total += std::exp2(score);
                            if (s == 0) first = std::exp2(score);
                        }
                        sum += first / total;
                    }
                const double mean = sum / static_cast<double>(config.heads * (12 - from));
                CHECK(mass[layer] == doctest::Approx(mean).epsilon(1e-5));
            }
        }
        CHECK_THROWS_AS(sink_mass(rig.decoder, store, tokens, 12), Error);
        CHECK_THROWS_AS(sink_mass(rig.decoder, store, tokens, -1), Error);
    }
}

TEST_SUITE_END();
