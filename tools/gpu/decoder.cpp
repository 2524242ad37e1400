// decoder.cpp - whole tokens of a decoder of SmolLM2-135M's shape, from synthetic weights: the
// file itself is too large to carry along.
#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/attention/generate.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/cuda/cuda_cache.hpp>
#include <kvlab/kvcache/kv_cache.hpp>

#include "bench.hpp"

namespace kvlab::bench {

namespace {

constexpr std::uint64_t kSeed = 7;

Config smollm2_shape(bool small) {
    Config config;
    config.name = "SmolLM2-135M's shape";
    config.vocab = small ? 512 : 49152;
    config.dim = 576;
    config.layers = small ? 2 : 30;
    config.heads = 9;
    config.kv_heads = 3;
    config.head_dim = config.rope_dim = 64;
    config.ffn = 1536;
    config.context = 8192;
    config.rope_base = 100000;
    config.tied_output = true;
    return config;
}

std::vector<Token> prompt_of(Index length, const Config& config) {
    std::vector<Token> prompt;
    for (Index i = 0; i < length; ++i)
        prompt.push_back(static_cast<Token>(i * 37 % config.vocab));
    return prompt;
}

// Tokens after a prompt, chosen by the sampler, with the checksum of all logits: as
// step04_cuda generates. The first pass, in which the driver compiles, is not measured.
std::string generated(const Setting& setting, Decoder& decoder, Index past, Index steps) {
    const std::vector<Token> prompt = prompt_of(past, decoder.config());
    std::string checksum;
    for (int pass = setting.small ? 1 : 0; pass < 2; ++pass) {
        CudaCache cache(decoder.kv_shape(), past + steps + 1);
        Generator generator(decoder);
        generator.add(cache, prompt, steps);
        Stopwatch wall;
        generator.step();
        const double prefill = wall.seconds(), count = static_cast<double>(steps - 1);
        wall.restart();
        DeviceStopwatch events;
        generator.run();
        const double device = events.seconds(), host = wall.seconds();
        checksum = generator.checksum().hex();
        if (pass == 0) continue;
        Json row;
        row["op"] = "generate";
        row["shape"] = concat("past", past, " tokens", steps - 1);
        row["rung"] = "step04_cuda";
        row["prompt_ms"] = prefill * 1e3;
        row["us"] = device * 1e6 / count;  // of a token, by events
        row["wall_us"] = host * 1e6 / count;
        row["tokens_per_s"] = count / host;
        row["checksum"] = checksum;
        setting.rows->add(row);
    }
    return checksum;
}

// The decoder alone: no sampler, no checksum. `bytes`: weights, and what is cached so far.
void forward(const Setting& setting, Decoder& decoder, Index past, Index weight_bytes) {
    const Index tokens = setting.small ? 2 : 100;
    CudaCache cache(decoder.kv_shape(), past + tokens + 3);
    decoder.forward(cache, prompt_of(past, decoder.config()));
    const Token one = 5;
    for (int i = 0; i < 3; ++i) decoder.forward(cache, {&one, 1});
    Stopwatch wall;
    DeviceStopwatch events;
    for (Index i = 0; i < tokens; ++i) decoder.forward(cache, {&one, 1});
    const double device = events.seconds() / static_cast<double>(tokens),
                 host = wall.seconds() / static_cast<double>(tokens);
    const auto bytes = static_cast<double>(weight_bytes + cache.bytes().logical);
    Json row =
        timed_row(setting, "token", concat("past", past), "step04_cuda", device, host, bytes);
    row["tokens_per_s"] = 1 / host;
    setting.rows->add(row);
}

std::string cpu_checksum(const WeightSource& source, Index past, Index steps) {
    const auto engine = make_cpu_engine();
    Decoder decoder(load_model(source, *engine), *engine);
    KvCache cache(decoder.kv_shape(), past + steps + 1);
    Generator generator(decoder);
    generator.add(cache, prompt_of(past, decoder.config()), steps);
    generator.run();
    return generator.checksum().hex();
}

}  // namespace

bool run_decoder(const Setting& setting) {
    const auto source = make_synthetic(smollm2_shape(setting.small), kSeed);
    constexpr Index kShort = 4;
    const Index steps = setting.small ? 4 : 64;
    std::string on_device;
    {
        const auto engine = make_cuda_engine();
        Decoder decoder(load_model(*source, *engine), *engine);
        const Index bytes = decoder.model().weight_bytes();
        on_device = generated(setting, decoder, kShort, steps);
        forward(setting, decoder, kShort, bytes);
        if (!setting.small) {
            forward(setting, decoder, 500, bytes);
            generated(setting, decoder, 1000, steps);
            forward(setting, decoder, 4000, bytes);
        }
    }
    Json row;
    row["op"] = "same_bits";
    row["shape"] = concat("past", kShort, " tokens", steps);
    row["device"] = on_device;
    row["cpu"] = cpu_checksum(*source, kShort, steps);
    row["same_bits"] = row["device"] == row["cpu"];
    setting.rows->add(row);
    return row["same_bits"];
}

}  // namespace kvlab::bench
