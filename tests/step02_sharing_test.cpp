// Step 2: who may share what. One model in several threads, an engine in each or one engine of
// one thread for all: the bits of a single thread. A shared pool of more threads: whole and
// right, or an Error.
#include <doctest/doctest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/decoder.hpp>
#include <kvlab/attention/generate.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/attention/whole_sequence.hpp>

#include "models.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

constexpr int kCallers = 2;

// Large enough that an engine with a pool wakes its threads.
struct Shared {
    std::unique_ptr<WeightSource> weights = make_synthetic(small_config(), 11);
    std::unique_ptr<Engine> loader = make_cpu_engine({1});
    std::shared_ptr<const Model> model = load_model(*weights, *loader);

    std::string checksum(Engine& engine, std::uint64_t seed, Index steps) const {
        Decoder decoder(model, engine);
        WholeSequence store(decoder.kv_shape(), 80);
        Generator generator(decoder);
        generator.add(store, random_tokens(30, model->config.vocab, seed), steps);
        generator.run();
        return generator.checksum().hex();
    }
};

Index steps_here() {
    return kThreadSanitizer ? 4 : 12;
}

// Runs work(caller) in so many threads, which all begin together.
template <class Work>
void in_threads(Work&& work) {
    std::vector<std::thread> threads;
    std::atomic<int> ready{0};
    for (int caller = 0; caller < kCallers; ++caller)
        threads.emplace_back([&, caller] {
            ++ready;
            while (ready < kCallers) std::this_thread::yield();
            work(caller);
        });
    for (std::thread& thread : threads) thread.join();
}

}  // namespace

TEST_SUITE_BEGIN("step02");

TEST_CASE("sharing: decoders in threads share a model with an engine each") {
    const Shared shared;
    const Index steps = steps_here();
    std::vector<std::string> expected, found(kCallers);
    for (int caller = 0; caller < kCallers; ++caller)
        expected.push_back(
            shared.checksum(*shared.loader, static_cast<std::uint64_t>(caller), steps));
    for (const Index threads : {1, 2}) {
        in_threads([&](int caller) {
            const auto engine = make_cpu_engine({threads});
            at(found, caller) =
                shared.checksum(*engine, static_cast<std::uint64_t>(caller), steps);
        });
        CHECK(found == expected);
    }
}

TEST_CASE("sharing: decoders in threads share an engine of one thread") {
    const Shared shared;
    const Index steps = steps_here();
    std::vector<std::string> expected, found(kCallers);
    for (int caller = 0; caller < kCallers; ++caller)
        expected.push_back(
            shared.checksum(*shared.loader, static_cast<std::uint64_t>(caller), steps));
    in_threads([&](int caller) {
        at(found, caller) =
            shared.checksum(*shared.loader, static_cast<std::uint64_t>(caller), steps);
    });
    CHECK(found == expected);
}

TEST_CASE("sharing: an engine of two threads refuses the second caller or is right") {
    const Shared shared;
    const Index steps = steps_here();
    std::vector<std::string> expected;
    for (int caller = 0; caller < kCallers; ++caller)
        expected.push_back(
            shared.checksum(*shared.loader, static_cast<std::uint64_t>(caller), steps));
    const auto engine = make_cpu_engine({2});
    std::atomic<int> wrong{0}, refused{0};
    for (int round = 0; round < 5; ++round)
        in_threads([&](int caller) {
            try {
                const std::string found =
                    shared.checksum(*engine, static_cast<std::uint64_t>(caller), steps);
                if (found != at(expected, caller)) ++wrong;
            } catch (const Error& error) {
                ++refused;
                if (std::string(error.what()).rfind("thread pool: entered", 0) != 0) ++wrong;
            }
        });
    CHECK(wrong == 0);
    MESSAGE("refused: " << refused.load() << " of " << 5 * kCallers);
    CHECK(shared.checksum(*engine, 0, steps) == expected[0]);  // and works on
}

TEST_CASE("sharing: a second caller of a pool that works gets an Error") {
    const Shared shared;
    const auto engine = make_cpu_engine({2});
    Decoder decoder(shared.model, *engine);
    WholeSequence store(decoder.kv_shape(), 80);
    const std::vector<Token> text = random_tokens(30, shared.model->config.vocab, 1);
    std::atomic<bool> inside{false}, leave{false};
    std::thread other([&] {
        engine->pool().run(2, [&](Index) {
            inside = true;
            while (!leave) std::this_thread::yield();
        });
    });
    while (!inside) std::this_thread::yield();
    std::string said;
    try {
        decoder.forward(store, text);
    } catch (const Error& error) {
        said = error.what();
    }
    leave = true;
    other.join();
    CHECK(said.rfind("thread pool: entered while another call is inside", 0) == 0);
    CHECK_NOTHROW(decoder.forward(store, text));
}

namespace {

// Goes back into the decoder that it watches.
class Meddler final : public Observer {
public:
    Meddler(Decoder& decoder, KvStore& store) : decoder_(decoder), store_(store) {}

    void on(Op, Index, const View<const float>&, std::span<const Index>) override {
        decoder_.forward(store_, std::vector<Token>{1, 2});
    }

private:
    Decoder& decoder_;
    KvStore& store_;
};

}  // namespace

TEST_CASE("sharing: a decoder that is entered twice throws") {
    const Shared shared;
    Decoder decoder(shared.model, *shared.loader);
    WholeSequence first(decoder.kv_shape(), 80), second(decoder.kv_shape(), 80);
    Meddler meddler(decoder, second);
    decoder.set_observer(&meddler);
    CHECK_THROWS_WITH_AS(decoder.forward(first, std::vector<Token>{1, 2, 3}),
                         doctest::Contains("decoder: entered while another call is inside"),
                         Error);
    decoder.set_observer(nullptr);
    CHECK_NOTHROW(decoder.forward(first, std::vector<Token>{1, 2, 3}));
}

TEST_SUITE_END();
