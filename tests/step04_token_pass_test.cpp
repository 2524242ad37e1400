// When the decoder hands a token over to a pass, and what becomes of the cache and the pass.
#include <doctest/doctest.h>

#include "token_rig.hpp"

using namespace kvlab;
using namespace kvlab::test;

TEST_SUITE_BEGIN("step04");

TEST_CASE(
    "token: the decoder takes single tokens through a pass and everything else by itself") {
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

TEST_CASE("token: every weight is read once however many blocks there are") {
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

TEST_CASE("token: a sequence may be cut back and forked and goes on with the same bits") {
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

TEST_CASE("token: a cache that goes from model to model and from way to way") {
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

TEST_CASE("token: what a pass refuses") {
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
    Config few = small_config();  // a cache may have room for more than the model has angles
    few.context = 3;
    const auto few_positions = make_synthetic(few, 1);
    Rig few_rig(*few_positions);
    CudaCache larger(few_rig.decoder.kv_shape(), 8);
    TokenPass bounded(*few_rig.model, larger, fused);
    CHECK_THROWS_WITH_AS(
        bounded.greedy(1, 4),
        "token pass: positions up to 3 are outside of the model's context of 3", Error);
    CHECK(larger.next_position() == 0);
    CHECK(bounded.greedy(1, 3).size() == 3);
    CHECK_THROWS_WITH_AS(
        bounded.greedy(1, 1),
        "token pass: positions up to 3 are outside of the model's context of 3", Error);
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
