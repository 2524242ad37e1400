// subject.hpp - chapter 3: what an experiment runs on: a model file, or random weights in the
// shape of a model. Time, memory and counts do not depend on the values of the weights.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <kvlab/attention/opened_model.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/tensor/random.hpp>
#include <kvlab/weights/model_path.hpp>

namespace kvlab {

// Tokens that any run can make again: for what does not depend on the text.
inline std::vector<Token> random_text(Index vocab, Index length) {
    Rng rng(42);
    std::vector<Token> text(usize(length));
    for (Token& token : text) token = static_cast<Token>(rng.below(vocab));
    return text;
}

// Its weights are not part of this project.
inline Config distilgpt2_shape() {
    Config c;
    c.architecture = Architecture::gpt2;
    c.name = "distilgpt2's shape, random weights";
    c.vocab = 50257;
    c.dim = 768;
    c.layers = 6;
    c.heads = c.kv_heads = 12;
    c.head_dim = 64;
    c.ffn = 3072;
    c.context = 1024;
    c.rope_dim = 0;
    c.tied_output = true;
    return c;
}

// Written out, since the file may not be there.
inline Config smollm2_shape() {
    Config c;
    c.vocab = 49152;
    c.dim = 576;
    c.layers = 30;
    c.heads = 9;
    c.kv_heads = 3;
    c.head_dim = c.rope_dim = 64;
    c.ffn = 1536;
    c.tied_output = true;
    return c;
}

// The shape that options.model names: "distilgpt2", or, with a context longer than these models
// were trained for, "tiny-shape", "deep-shape" and "SmolLM2-shape". Empty for all other names.
inline std::optional<Config> find_shape(const OpenOptions& options) {
    constexpr Index kLongContext = 8192;
    const std::string& name = options.model;
    if (name == "distilgpt2") return distilgpt2_shape();
    Config shape;
    if (name == "SmolLM2-shape") {
        shape = smollm2_shape();
    } else if (name == "tiny-shape" || name == "deep-shape") {
        const std::string file = name.substr(0, name.find('-'));
        shape = Config::from_metadata(
            GgufFile::open(find_model(file, options.source_weights)).metadata());
    } else {
        return std::nullopt;
    }
    shape.name = name + ", random weights";
    shape.context = kLongContext;
    return shape;
}

// Of the matrices that a step reads, as the engine holds them: what CostModel says of float
// weights, for weights of any type.
inline Index step_weight_bytes(const Model& model) {
    Index bytes = model.output_matrix().bytes();
    for (const LayerWeights& w : model.layers)
        bytes += w.qkv.weight->bytes() + w.out.weight->bytes() + w.gate_up.weight->bytes() +
                 w.down.weight->bytes();
    return bytes;
}

class Subject {
public:
    // options.model is a name of find_shape() or a file, as in OpenedModel. Throws Error
    // as that does.
    explicit Subject(const OpenOptions& options) {
        if (const std::optional<Config> shape = find_shape(options)) {
            level_ =
                options.simd.empty() ? default_simd_level() : parse_simd_level(options.simd);
            own_engine_ = make_cpu_engine({options.threads == 0 ? 1 : options.threads, level_});
            engine_ = own_engine_.get();
            model_ = load_model(*make_synthetic(*shape, 42), *engine_);
        } else {
            opened_ = std::make_unique<OpenedModel>(options);
            engine_ = opened_->engine.get();
            model_ = opened_->model;
            level_ = opened_->level;
        }
        decoder_ = std::make_unique<Decoder>(model_, *engine_);
    }

    Decoder& decoder() { return *decoder_; }

    Engine& engine() { return *engine_; }

    const Config& config() const { return model_->config; }

    const std::shared_ptr<const Model>& model() const { return model_; }

    SimdLevel level() const { return level_; }

    std::string engine_name() const { return engine_->name(); }

    Index step_weight_bytes() const { return kvlab::step_weight_bytes(*model_); }

    std::vector<Token> random_text(Index length) const {
        return kvlab::random_text(config().vocab, length);
    }

private:
    std::unique_ptr<OpenedModel> opened_;
    std::unique_ptr<Engine> own_engine_;
    Engine* engine_ = nullptr;
    std::shared_ptr<const Model> model_;
    SimdLevel level_{};
    std::unique_ptr<Decoder> decoder_;
};

}  // namespace kvlab
