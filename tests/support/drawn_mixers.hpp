// drawn_mixers.hpp - small models of any mixers with drawn weights, for the laws of chapter 8.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <kvlab/architectures/draw_model.hpp>
#include <kvlab/architectures/mixed_decoder.hpp>
#include <kvlab/architectures/registry.hpp>
#include <kvlab/attention/cpu_engine.hpp>
#include <kvlab/tensor/random.hpp>

namespace kvlab::test {

inline constexpr Index kMixerVocab = 50;

// Numbers of mixers, small enough for a text of 200 tokens to go far beyond them. A mixer with
// a key of its own adds it here.
inline Index small_number(const std::string& key) {
    static const std::vector<std::pair<std::string, Index>> numbers = {
        {"window", 24}, {"stride", 8}, {"dilation", 3}, {"block", 8},     {"random_blocks", 2},
        {"rounds", 2},  {"top_k", 20}, {"kv_rank", 12}, {"rope_rank", 4}, {"state_size", 6},
        {"inner", 40},  {"conv", 4},   {"dt_rank", 3}};
    for (const auto& [name, number] : numbers)
        if (name == key) return number;
    throw Error(concat("drawn mixers: no number for kvlab.", key));
}

struct DrawnModel {
    Config config;
    std::vector<std::string> mixers;                  // [L]
    std::vector<std::pair<std::string, Index>> keys;  // of all these mixers
    std::vector<std::int32_t> kv_layer;               // [L], or empty
    std::uint64_t seed = 7;

    std::unique_ptr<WeightSource> draw() const {
        return draw_mixed_model(config, mixers, keys, seed, kv_layer);
    }
};

// A model of these layers. A layer "shared" reads the rows of the last one that has some.
inline DrawnModel drawn_model(const std::vector<std::string>& mixers) {
    DrawnModel model;
    model.mixers = mixers;
    const auto has = [&](const char* name) {
        return std::find(mixers.begin(), mixers.end(), name) != mixers.end();
    };
    Config& c = model.config;
    c.vocab = kMixerVocab;
    c.dim = 32;
    c.layers = std::ssize(mixers);
    c.heads = 4;
    c.kv_heads = has("mha") ? 4 : has("mqa") ? 1 : 2;
    c.head_dim = 8;
    c.rope_dim = 8;
    c.ffn = 48;
    c.context = 400;
    std::int32_t own = 0;
    for (std::size_t layer = 0; layer < mixers.size(); ++layer) {
        if (mixers[layer] != "shared") own = static_cast<std::int32_t>(layer);
        model.kv_layer.push_back(own);
        for (const std::string key : find_mixer(mixers[layer]).keys) {
            const auto same = [&](const auto& entry) { return entry.first == key; };
            if (key != "kv_layer" && std::none_of(model.keys.begin(), model.keys.end(), same))
                model.keys.emplace_back(key, small_number(key));
        }
    }
    if (!has("shared")) model.kv_layer.clear();
    return model;
}

// Two layers of one mixer; before one that reads another layer's rows, that other layer.
inline std::vector<std::string> two_layers(const std::string& mixer) {
    return {mixer == "shared" ? "gqa" : mixer, mixer};
}

// Every mixer alone, and hybrids.
inline std::vector<std::vector<std::string>> drawn_layers() {
    std::vector<std::vector<std::string>> all;
    for (const MixerEntry& entry : all_mixers()) all.push_back(two_layers(entry.name));
    all.push_back({"linear", "gqa"});
    all.push_back({"local", "gqa"});
    all.push_back({"local", "shared", "gqa", "shared"});
    all.push_back({"mla", "indexed", "dilated"});
    return all;
}

// The names of a model's layers in one string, to CAPTURE.
inline std::string layer_names(const std::vector<std::string>& mixers) {
    std::string names;
    for (const std::string& mixer : mixers) names += (names.empty() ? "" : " ") + mixer;
    return names;
}

inline std::vector<Token> drawn_text(Index length, std::uint64_t seed) {
    Rng rng(seed);
    std::vector<Token> text;
    for (Index i = 0; i < length; ++i)
        text.push_back(static_cast<Token>(rng.below(kMixerVocab)));
    return text;
}

// A drawn model, loaded, and what runs it.
struct DrawnMixers {
    std::unique_ptr<Engine> engine;
    MixedDecoder decoder;

    explicit DrawnMixers(const DrawnModel& model, const CpuOptions& options = {.threads = 1})
        : engine(make_cpu_engine(options)),
          decoder(load_mixed_model(*model.draw(), *engine), *engine) {}

    explicit DrawnMixers(const std::vector<std::string>& mixers, Index threads = 1)
        : DrawnMixers(drawn_model(mixers), {.threads = threads}) {}

    std::unique_ptr<MixedStore> make_store(Index rewind = 0) const {
        return decoder.make_store({.rewind = rewind, .engine = engine.get()});
    }

    // Logits of all tokens, [T * V].
    std::vector<float> run(KvStore& store, std::span<const Token> tokens) {
        const auto view = decoder.forward(store, tokens, LogitsOf::all);
        return {view.flat().begin(), view.flat().end()};
    }
};

}  // namespace kvlab::test
