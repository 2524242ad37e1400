// A token at a time, by every way to launch one: the bits of the CPU's decoder, whatever the
// model's shape, the type of its weights and the length of the text.
#include <doctest/doctest.h>

#include <algorithm>

#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/generate.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/cuda/cuda_cache.hpp>
#include <kvlab/cuda/cuda_engine.hpp>
#include <kvlab/cuda/token_pass.hpp>
#include <kvlab/kvcache/kv_cache.hpp>
#include <kvlab/tensor/checksum.hpp>
#include <kvlab/weights/convert.hpp>
#include <kvlab/weights/gguf_file.hpp>

#include "device_support.hpp"
#include "models.hpp"
#include "skip.hpp"
#include "weights_support.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

std::vector<const TokenRung*> passes() {
    std::vector<const TokenRung*> rungs;
    for (const TokenRung& rung : token_rungs())
        if (rung.launch != nullptr) rungs.push_back(&rung);
    return rungs;
}

// What greedy decoding gives: the tokens, and the last row of logits.
struct Text {
    std::vector<Token> tokens;
    std::uint64_t logits = 0;

    bool operator==(const Text&) const = default;
};

Text on_cpu(const WeightSource& source, std::span<const Token> prompt, Index count) {
    const auto engine = make_cpu_engine();
    Decoder decoder(load_model(source, *engine), *engine);
    KvCache cache(decoder.kv_shape(), std::ssize(prompt) + count);
    Text text;
    if (prompt.size() > 1) decoder.forward(cache, prompt.first(prompt.size() - 1));
    Token token = prompt.back();
    for (Index i = 0; i < count; ++i) {
        const auto row = decoder.forward(cache, {&token, 1}).flat();
        token = static_cast<Token>(std::max_element(row.begin(), row.end()) - row.begin());
        text.tokens.push_back(token);
        text.logits = checksum(row);
    }
    return text;
}

struct Rig {
    explicit Rig(const WeightSource& source)
        : engine(make_cuda_engine()),
          model(load_model(source, *engine)),
          decoder(model, *engine) {}

    Text greedy(const TokenRung& rung,
                std::span<const Token> prompt,
                Index count,
                Index more_room = 0) {
        CudaCache cache(decoder.kv_shape(), std::ssize(prompt) + count + more_room);
        if (prompt.size() > 1) decoder.forward(cache, prompt.first(prompt.size() - 1));
        TokenPass pass(*model, cache, rung);
        Text text;
        text.tokens = pass.greedy(prompt.back(), count);
        CHECK(cache.next_position() == std::ssize(prompt) + count - 1);
        std::vector<float> logits(usize(model->config.vocab));
        engine->download(pass.logits(), logits);
        text.logits = checksum(logits);
        return text;
    }

    std::unique_ptr<Engine> engine;
    std::shared_ptr<const Model> model;
    Decoder decoder;
};

Config odd_config() {
    Config c = small_config(6, 2, 20);  // groups of 3; a warp's inputs are of several heads
    c.rope_dim = 12;                    // the rest of a head is not rotated
    c.tied_output = true;
    c.layers = 3;
    return c;
}

Config wide_config() {
    Config c = small_config(16, 1, 72);  // heads of more than one chain, 16 rows to a KV head
    c.dim = 200;
    c.vocab = 300;  // more than a block's threads
    return c;
}

}  // namespace

TEST_SUITE_BEGIN("step04");

TEST_CASE("4.8 token: every way gives the CPU's text and logits for shapes of all kinds") {
    const Config configs[] = {tiny_config(), small_config(4, 4), small_config(4, 1),
                              odd_config(), wide_config()};
    for (const Config& config : configs) {
        CAPTURE(config.head_dim);
        const auto source = make_synthetic(config, 42);
        Rig rig(*source);
        for (const Index past : {1, 63, 64, 130}) {
            CAPTURE(past);
            const std::vector<Token> prompt = random_tokens(past, config.vocab, 5);
            const Text expected = on_cpu(*source, prompt, 4);
            for (const TokenRung* rung : passes()) {
                CAPTURE(std::string(rung->name));
                CHECK(rig.greedy(*rung, prompt, 4) == expected);
                CHECK(rig.greedy(*rung, prompt, 4, 200) == expected);  // whatever the capacity
            }
        }
    }
}

TEST_CASE("4.8 token: weights of every type") {
    const Folder folder;
    const auto deep = GgufFile::open(weights_file("deep.gguf"));
    for (const TensorType type : {TensorType::f32, TensorType::f16, TensorType::bf16,
                                  TensorType::q8_0, TensorType::q4_0, TensorType::q4_1}) {
        CAPTURE(std::string(type_name(type)));
        const auto path = folder / "model.gguf";
        convert(deep, path, type);
        const auto file = GgufFile::open(path);
        const std::vector<Token> prompt = random_tokens(70, 256, 8);
        const Text expected = on_cpu(file, prompt, 3);
        Rig rig(file);
        for (const TokenRung* rung : passes()) {
            CAPTURE(std::string(rung->name));
            CHECK(rig.greedy(*rung, prompt, 3) == expected);
        }
    }
}

TEST_CASE("4.8 token: checked launches find nothing wrong in any order") {
    if (!simt::has_checked_kernels()) return;
    for (const Config& config : {tiny_config(), odd_config()}) {
        const auto source = make_synthetic(config, 42);
        const std::vector<Token> prompt = random_tokens(66, config.vocab, 1);
        const Text expected = on_cpu(*source, prompt, 2);
        Rig rig(*source);
        for (const TokenRung* rung : passes()) {
            CAPTURE(std::string(rung->name));
            CudaCache cache(rig.decoder.kv_shape(), 70);
            rig.decoder.forward(cache, std::span(prompt).first(65));
            for (const simt::Order order :
                 {simt::Order::forward, simt::Order::reverse, simt::Order::shuffled}) {
                const simt::Use use({simt::Mode::checked, order, 3, nullptr});
                TokenPass pass(*rig.model, cache, *rung);
                CHECK(pass.greedy(prompt.back(), 2) == expected.tokens);
                cache.truncate(65);
            }
        }
    }
}

TEST_CASE(
    "4.8 token: the decoder takes single tokens through a pass and everything else by itself") {
    const Config config = tiny_config();
    const auto source = make_synthetic(config, 42);
    const std::vector<Token> prompt = random_tokens(9, 256, 3);
    for (const TokenRung& rung : token_rungs()) {
        CAPTURE(std::string(rung.name));
        KernelChoice choice;
        choice.token = &rung;
        const auto engine = make_cuda_engine(choice);
        Decoder decoder(load_model(*source, *engine), *engine);
        CudaCache cache(decoder.kv_shape(), 32), other(decoder.kv_shape(), 32);
        const auto kernels_of = [&](auto&& call) {
            std::vector<simt::LaunchRecord> records;
            const simt::Use use({simt::Mode::raw, simt::Order::forward, 1, nullptr, &records});
            call();
            Index of_a_pass = 0;
            for (const simt::LaunchRecord& record : records)
                of_a_pass += record.kernel.starts_with("token_") ? 1 : 0;
            return of_a_pass;
        };
        CHECK(kernels_of([&] { decoder.forward(cache, prompt); }) == 0);
        const Index once = kernels_of([&] { decoder.forward(cache, {prompt.data(), 1}); });
        CHECK((once > 0) == (rung.launch != nullptr));
        const std::vector<SequenceStep> two = {{&cache, std::span(prompt).first(1)},
                                               {&other, std::span(prompt).first(1)}};
        CHECK(kernels_of([&] { decoder.forward(two); }) == 0);

        struct Watch final : Observer {
            void on(Op, Index, const View<const float>&, std::span<const Index>) override {
                ++seen;
            }

            int seen = 0;
        } watch;

        const Observing watched(decoder, watch);
        CHECK(kernels_of([&] { decoder.forward(cache, {prompt.data(), 1}); }) == 0);
        CHECK(watch.seen > 0);
    }
}

TEST_CASE("4.8 token: every weight is read once however many blocks there are") {
    if (!simt::has_checked_kernels()) return;
    const Config config = tiny_config();
    const auto source = make_synthetic(config, 42);
    Rig rig(*source);
    CudaCache cache(rig.decoder.kv_shape(), 8);
    TokenPass pass(*rig.model, cache, *passes().front());
    std::vector<simt::LaunchRecord> records;
    {
        const simt::Use use({simt::Mode::checked, simt::Order::forward, 1, nullptr, &records});
        pass.greedy(1, 1);
    }
    CHECK(records.size() == 5 * 2 + 3);  // five a layer; logits, the largest, the next token
    const auto sectors = [&](const std::string& kernel) {
        for (const simt::LaunchRecord& record : records)
            if (record.kernel == kernel) return record.counters.loads.sectors;
        return Index{0};
    };
    // 64 floats are 8 sectors. The output matrix [256, 64] is four panels of one chain: four
    // items, four blocks. Each adds to the row before (8) the three chains of the product
    // behind it (24), and its warp with an item reads the norm's weights (8).
    CHECK(sectors("token_output") == 256 * 8 + 4 * (8 + 24 + 8));
    // Gate and up [344, 64]: six panels, of which the last has 24 columns that are padding,
    // and is copied whole. Four blocks add one chain to the row; each item reads the weights.
    CHECK(sectors("token_feed_forward_in") == 6 * 64 * 8 + 4 * (8 + 8) + 6 * 8);
}

TEST_CASE("4.8 token: a sequence may be cut back and forked and goes on with the same bits") {
    const auto source = make_synthetic(tiny_config(), 42);
    const std::vector<Token> prompt = random_tokens(70, 256, 3);
    Rig rig(*source);
    const auto logits_of = [&](KvStore& store, Token token) {
        return checksum(rig.decoder.forward(store, {&token, 1}).flat());
    };
    CudaCache cache(rig.decoder.kv_shape(), 80);
    rig.decoder.forward(cache, prompt);
    const std::uint64_t first = logits_of(cache, 7), second = logits_of(cache, 8);
    cache.truncate(70);
    const std::unique_ptr<KvStore> fork = cache.fork();
    CHECK(logits_of(cache, 9) != first);
    CHECK(logits_of(*fork, 7) == first);
    CHECK(logits_of(*fork, 8) == second);
    cache.truncate(70);
    CHECK(logits_of(cache, 7) == first);
    CHECK(logits_of(cache, 8) == second);
}

TEST_CASE("4.8 token: a cache that goes from model to model and from way to way") {
    const auto source = make_synthetic(tiny_config(), 42),
               second = make_synthetic(tiny_config(), 43);
    Rig rig(*source), other(*second);
    CudaCache cache(rig.decoder.kv_shape(), 8);
    const auto logits_of = [&](const Rig& of, const TokenRung& rung) {
        cache.begin(1);
        std::vector<float> logits(256);
        of.engine->download(cache.token_pass(*of.model, rung).forward(7), logits);
        cache.abandon();
        return checksum(logits);
    };
    const std::vector<Token> seven = {7};
    const std::uint64_t of_first = on_cpu(*source, seven, 1).logits,
                        of_second = on_cpu(*second, seven, 1).logits;
    CHECK(of_first != of_second);
    for (const TokenRung* rung : passes()) {
        CAPTURE(std::string(rung->name));
        CHECK(logits_of(rig, *rung) == of_first);
        CHECK(logits_of(other, *rung) == of_second);
        CHECK(logits_of(rig, *rung) == of_first);
    }
    // The same pass as long as nothing changes; another one for another way.
    const TokenRung &fused = *passes().front(), &last = *passes().back();
    TokenPass* const pass = &cache.token_pass(*rig.model, fused);
    CHECK(pass == &cache.token_pass(*rig.model, fused));
    CHECK(pass->serves(*rig.model, fused));
    CHECK_FALSE(pass->serves(*rig.model, last));
    CHECK_FALSE(pass->serves(*other.model, fused));
}

TEST_CASE("4.8 token: what a pass refuses") {
    const auto source = make_synthetic(tiny_config(), 42);
    Rig rig(*source);
    const TokenRung& fused = *passes().front();
    CudaCache cache(rig.decoder.kv_shape(), 4);
    TokenPass pass(*rig.model, cache, fused);
    CHECK_THROWS_WITH_AS(pass.greedy(1, 5), "token pass: 5 tokens; the cache has room for 4",
                         Error);
    CHECK_THROWS_WITH_AS(pass.greedy(1, 0), "token pass: 0 tokens; the cache has room for 4",
                         Error);
    CHECK_THROWS_WITH_AS(pass.greedy(256, 1), "token 256 is outside of the vocabulary of 256",
                         Error);
    CHECK_THROWS_WITH_AS(pass.greedy(-1, 1), "token -1 is outside of the vocabulary of 256",
                         Error);
    CHECK(cache.next_position() == 0);
    CHECK(pass.greedy(1, 4).size() == 4);
    CHECK_THROWS_WITH_AS(pass.forward(1),
                         "cuda cache: rows outside of a step, which begin() opens", Error);
    CHECK_THROWS_WITH_AS(TokenPass(*rig.model, cache, token_rungs().front()),
                         "token pass: 'separate' is the decoder's own way", Error);
    CudaCache other({2, 4, 2, 32}, 4);
    CHECK_THROWS_WITH_AS(TokenPass(*rig.model, other, fused),
                         "token pass: this cache was made for another model", Error);
    const auto gpt2 = make_synthetic(small_gpt2(), 1);
    const Rig gpt2_rig(*gpt2);
    CHECK(TokenPass::why_not(*gpt2_rig.model) == "only models of the llama family");
    Config many = small_config(17, 1, 4);
    many.dim = 68;
    const auto many_heads = make_synthetic(many, 1);
    const Rig many_rig(*many_heads);
    CHECK(TokenPass::why_not(*many_rig.model) ==
          "at most 16 query heads to a KV head, found 17");
    const auto odd_heads = make_synthetic(small_config(4, 2, 18), 1);
    const Rig odd_rig(*odd_heads);
    CHECK(TokenPass::why_not(*odd_rig.model) ==
          "only heads of a multiple of 4 numbers, found 18");
    KernelChoice rows;
    rows.linear = &find_rung(linear_rungs(), "naive");
    const auto naive = make_cuda_engine(rows);
    CHECK(TokenPass::why_not(*load_model(*source, *naive)) == "only weights in panels");
}

TEST_SUITE_END();
