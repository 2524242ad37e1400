// The decoder on CUDA kernels: chapter 3's checksums, whichever kernels it uses.
#include <doctest/doctest.h>

#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/generate.hpp>
#include <kvlab/attention/observer.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/cuda/cuda_cache.hpp>
#include <kvlab/cuda/cuda_engine.hpp>
#include <kvlab/kvcache/kv_cache.hpp>
#include <kvlab/tensor/checksum.hpp>
#include <kvlab/weights/gguf_file.hpp>

#include "device_support.hpp"
#include "golden.hpp"
#include "models.hpp"
#include "skip.hpp"
#include "smollm2.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

// A model on the CUDA engine.
struct CudaRig {
    explicit CudaRig(const WeightSource& source, const KernelChoice& chosen = {})
        : choice(chosen),
          engine(make_cuda_engine(chosen)),
          decoder(load_model(source, *engine), *engine) {}

    CudaCache cache(Index capacity) const {
        return CudaCache(decoder.kv_shape(), capacity, choice.attention);
    }

    KernelChoice choice;
    std::unique_ptr<Engine> engine;
    Decoder decoder;
};

// As in golden_test.cpp: 24 tokens after a prompt of 70.
std::string cuda_checksum(const WeightSource& source,
                          const KernelChoice& choice = {},
                          const SamplingOptions& sampling = {},
                          Index chunk = 70) {
    CudaRig rig(source, choice);
    CudaCache cache = rig.cache(128);
    const std::vector<Token> prompt = random_tokens(70, rig.decoder.config().vocab, 11);
    for (Index begin = 0; begin + chunk < 70; begin += chunk)
        rig.decoder.forward(cache, std::span(prompt).subspan(usize(begin), usize(chunk)));
    Generator generator(rig.decoder);
    generator.add(cache, prompt, 24, sampling);
    generator.run();
    return generator.checksum().hex();
}

// Every kernel of every ladder at least once, each ladder's others as they come.
std::vector<KernelChoice> all_choices() {
    std::vector<KernelChoice> choices = {{}};
    for (const LinearRung& rung : linear_rungs()) choices.push_back({&rung, nullptr, nullptr});
    for (const NormRung& rung : norm_rungs()) choices.push_back({nullptr, &rung, nullptr});
    for (const AttentionRung& rung : attention_rungs())
        choices.push_back({nullptr, nullptr, &rung});
    return choices;
}

class OpChecksums final : public Observer {
public:
    void on(Op, Index, const View<const float>& rows, std::span<const Index>) override {
        Checksum sum;
        for (Index r = 0; r < rows.dim(0); ++r)
            for (Index i = 0; i < rows.dim(1); ++i) sum.add(rows(r, i));
        sums.push_back(sum.value());
    }

    std::vector<std::uint64_t> sums;
};

}  // namespace

TEST_SUITE_BEGIN("step04");

TEST_CASE("decoder: golden checksums of synthetic weights with every kernel of every ladder") {
    const auto source = make_synthetic(tiny_config(), 42);
    for (const KernelChoice& choice : all_choices()) {
        CAPTURE(std::string(choice.linear == nullptr ? "" : choice.linear->name));
        CAPTURE(std::string(choice.norm == nullptr ? "" : choice.norm->name));
        CAPTURE(std::string(choice.attention == nullptr ? "" : choice.attention->name));
        check_golden("tiny-shape", cuda_checksum(*source, choice));
    }
    check_golden("tiny-shape-sampled", cuda_checksum(*source, {}, {0.8f, 50, 0.9f, 7}));
}

TEST_CASE("decoder: golden checksums of MHA and MQA and GPT-2 shapes in pieces of any size") {
    const std::pair<const char*, Config> cases[] = {{"small-mha", small_config(4, 4)},
                                                    {"small-mqa", small_config(4, 1)},
                                                    {"small-gpt2", small_gpt2()}};
    for (const auto& [name, config] : cases) {
        const auto source = make_synthetic(config, 42);
        for (const Index chunk : {1, 7, 64, 70}) {
            CAPTURE(chunk);
            check_golden(name, cuda_checksum(*source, {}, {}, chunk));
        }
    }
}

TEST_CASE("decoder: golden checksums of the trained models") {
    for (const char* name : {"tiny", "deep"})
        check_golden(name,
                     cuda_checksum(GgufFile::open(weights_file(std::string(name) + ".gguf"))));
}

TEST_CASE("decoder: SmolLM2 gives the contract's checksum") {
    if (smollm2_path().empty()) return skip(kNoSmollm2);
    if (!simt::has_checked_kernels()) return skip("too slow under the thread sanitizer");
    const auto file = GgufFile::open(smollm2_path());
    CudaRig rig(file);
    CudaCache cache = rig.cache(8);
    const std::vector<Token> tokens = {504, 3575, 282, 4649, 314};
    const View<const float> logits = rig.decoder.forward(cache, tokens, LogitsOf::all);
    CHECK(hex64(checksum(logits.flat())) == "85c87c336ed2ee4d");
    CHECK(hex64(checksum(logits[4].flat())) == "6d5f4757bd728c6f");
}

TEST_CASE("decoder: checked launches find nothing wrong in a prompt and a fork") {
    if (!simt::has_checked_kernels()) return;
    for (const Config& config : {tiny_config(), small_gpt2()}) {
        const auto source = make_synthetic(config, 42);
        const auto run = [&](const simt::Options& options) {
            CudaRig rig(*source);
            CudaCache cache = rig.cache(16);
            const simt::Use use(options);
            const std::vector<Token> prompt = random_tokens(5, config.vocab, 1);
            rig.decoder.forward(cache, prompt);
            const std::unique_ptr<KvStore> fork = cache.fork();
            Generator generator(rig.decoder);
            generator.add(cache, random_tokens(6, config.vocab, 1), 3);
            generator.add(*fork, random_tokens(7, config.vocab, 1), 2);
            generator.run();
            return generator.checksum().value();
        };
        const std::uint64_t raw = run({});
        CHECK(run({simt::Mode::checked, simt::Order::forward, 1, nullptr}) == raw);
        CHECK(run({simt::Mode::checked, simt::Order::shuffled, 5, nullptr}) == raw);
    }
}

TEST_CASE("decoder: host code never touches device memory") {
    // Whatever does ends the program here, as it would read nonsense from a GPU.
    const simt::GuardDeviceMemory guard;
    for (const Config& config : {tiny_config(), small_gpt2()}) {
        const auto source = make_synthetic(config, 42);
        CudaRig rig(*source);
        CudaCache cache = rig.cache(64);
        OpChecksums observer;
        rig.decoder.set_observer(&observer);
        Generator generator(rig.decoder);
        generator.add(cache, random_tokens(30, config.vocab, 1), 20);
        generator.run();
        const std::unique_ptr<KvStore> fork = cache.fork();
        fork->truncate(10);
        rig.decoder.forward(*fork, random_tokens(5, config.vocab, 2), LogitsOf::all);
        CHECK(generator.generated(0).size() == 20);
    }
}

TEST_CASE("decoder: an observer sees the numbers of the CPU engine after every operator") {
    for (const Config& config : {tiny_config(), small_gpt2()}) {
        const auto source = make_synthetic(config, 3);
        const std::vector<Token> prompt = random_tokens(19, config.vocab, 2);
        CudaRig rig(*source);
        CudaCache cache = rig.cache(32);
        OpChecksums on_device, on_host;
        rig.decoder.set_observer(&on_device);
        rig.decoder.forward(cache, prompt, LogitsOf::all);
        auto cpu = make_cpu_engine();
        Decoder decoder(load_model(*source, *cpu), *cpu);
        KvCache host_cache(decoder.kv_shape(), 32);
        decoder.set_observer(&on_host);
        decoder.forward(host_cache, prompt, LogitsOf::all);
        CHECK(on_device.sums == on_host.sums);
        // What is held is the same, too.
        for (Index layer = 0; layer < config.layers; ++layer) {
            const Tensor keys = cache.keys(layer), values = cache.values(layer);
            bool same = true;
            for (Index h = 0; h < config.kv_heads; ++h)
                for (Index p = 0; p < 19; ++p)
                    for (Index i = 0; i < config.head_dim; ++i)
                        same = same && keys(h, p, i) == host_cache.key(layer, h, p, i) &&
                               values(h, p, i) == host_cache.value(layer, h, p, i);
            CHECK(same);
        }
    }
}

TEST_CASE("cache: truncate and fork and batches give the bits of a fresh run") {
    const auto source = make_synthetic(tiny_config(), 42);
    CudaRig rig(*source);
    const std::vector<Token> prompt = random_tokens(100, 256, 4),
                             other = random_tokens(9, 256, 5);
    const auto bits = [&](KvStore& store, std::span<const Token> tokens) {
        const auto row = rig.decoder.forward(store, tokens).flat();
        return checksum(row);
    };
    CudaCache fresh = rig.cache(128);
    const std::uint64_t expected = bits(fresh, prompt);
    CudaCache cache = rig.cache(128);
    const auto beginning = std::span(prompt).first(70);
    CHECK(rig.decoder.forward(cache, beginning, LogitsOf::none).dim(0) == 0);
    const std::unique_ptr<KvStore> fork = cache.fork();
    bits(cache, other);
    cache.truncate(70);
    CHECK(bits(cache, std::span(prompt).subspan(70)) == expected);
    CHECK(bits(*fork, std::span(prompt).subspan(70)) == expected);
    fork->reset();
    CHECK(bits(*fork, prompt) == expected);
    CudaCache a = rig.cache(128), b = rig.cache(128);
    const std::vector<SequenceStep> batch = {{&a, prompt}, {&b, other}};
    const View<const float> rows = rig.decoder.forward(batch);
    CHECK(checksum(rows[0].flat()) == expected);
    const KvBytes bytes = a.bytes();
    CHECK(bytes.logical == 100 * 2 * 2 * 2 * 16 * 4);
    CHECK(bytes.allocated >= 128 * 2 * 2 * 2 * 16 * 4);
}

TEST_CASE("cache: a full cache and another engine's memory are refused and nothing changes") {
    const auto source = make_synthetic(tiny_config(), 42);
    CudaRig rig(*source);
    CudaCache cache = rig.cache(4);
    const std::vector<Token> tokens = random_tokens(5, 256, 4);
    CHECK_THROWS_AS(rig.decoder.forward(cache, tokens), Error);
    CHECK(cache.next_position() == 0);
    KvCache host_cache(rig.decoder.kv_shape(), 8);
    CHECK_THROWS_AS(rig.decoder.forward(host_cache, tokens), Error);
    auto cpu = make_cpu_engine();
    const auto on_host = load_model(*source, *cpu);
    Decoder decoder(on_host, *cpu);
    CudaCache room(decoder.kv_shape(), 8);
    CHECK_THROWS_AS(decoder.forward(room, tokens), Error);
    Decoder mixed(on_host, *rig.engine);  // weights in another engine's memory
    CHECK_THROWS_AS(mixed.forward(room, tokens), Error);
    CHECK_THROWS_AS(CudaCache(rig.decoder.kv_shape(), 0), Error);
    CHECK_THROWS_AS(cache.truncate(1), Error);
    CHECK_THROWS_AS(cache.keys(2), Error);
}

TEST_SUITE_END();
