// A token at a time, by every way to launch one: the bits of the CPU's decoder, whatever the
// model's shape, the type of its weights and the length of the text.
#include <doctest/doctest.h>

#include "token_rig.hpp"

using namespace kvlab;
using namespace kvlab::test;

TEST_SUITE_BEGIN("step04");

TEST_CASE("token: every way gives the CPU's text and logits for shapes of all kinds") {
    const Config configs[] = {tiny_config(), small_config(4, 4), small_config(4, 1),
                              odd_config(),  wide_config(),      many_outputs_config()};
    for (const Config& config : configs) {
        CAPTURE(config.head_dim);
        const auto source = make_synthetic(config, 42);
        Rig rig(*source);
        for (const Index past : {1, 62, 130}) {  // 62: the fourth token begins a tile
            CAPTURE(past);
            const std::vector<Token> prompt = random_tokens(past, config.vocab, 5);
            const Text expected = on_cpu(*source, prompt, 4);
            for (const Index room :
                 past == 62 ? std::vector<Index>{4, 200} : std::vector<Index>{4}) {
                const auto cache = rig.after(prompt, room);
                for (const TokenRung* rung : passes()) {
                    CAPTURE(std::string(rung->name));
                    CHECK(rig.greedy(*rung, *cache, prompt.back(), 4) == expected);
                }
            }
        }
    }
}

TEST_CASE("token: weights of every type") {
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
        const auto cache = rig.after(prompt, 3);
        for (const TokenRung* rung : passes()) {
            CAPTURE(std::string(rung->name));
            CHECK(rig.greedy(*rung, *cache, prompt.back(), 3) == expected);
        }
    }
}

TEST_CASE("token: checked launches find nothing wrong in any order") {
    if (!simt::has_checked_kernels()) return;
    for (const Config& config : {tiny_config(), odd_config(), many_outputs_config()}) {
        const auto source = make_synthetic(config, 42);
        const std::vector<Token> prompt = random_tokens(66, config.vocab, 1);
        const Text expected = on_cpu(*source, prompt, 2);
        Rig rig(*source);
        const auto cache = rig.after(prompt, 2);
        for (const TokenRung* rung : passes()) {
            CAPTURE(std::string(rung->name));
            for (const simt::Order order :
                 {simt::Order::forward, simt::Order::reverse, simt::Order::shuffled}) {
                const simt::Use use({simt::Mode::checked, order, 3, nullptr});
                CHECK(rig.greedy(*rung, *cache, prompt.back(), 2) == expected);
            }
        }
    }
}

TEST_SUITE_END();
