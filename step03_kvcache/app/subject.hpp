// subject.hpp - chapter 3: what an experiment runs on: a model file, or distilgpt2's shape.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <kvlab/attention/session.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/tensor/random.hpp>
#include <kvlab/weights/model_path.hpp>

namespace kvlab::app {

// The shape of distilgpt2. Its weights are not part of this project: random ones of the same
// shape take the same time and memory, and say nothing about text.
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
    c.tied_head = true;
    return c;
}

// SmolLM2 in floats: what an experiment runs on when its figures are about floats.
inline constexpr const char* kFloatModel = "SmolLM2-135M-Instruct-F32";

// Throws Error if options.model is the model in floats and its file is not there. The file that
// can be fetched is Q4_1, so the message also says how to make floats of it.
inline void check_float_model(const SessionOptions& options) {
    if (options.model != kFloatModel) return;
    try {
        find_model(options.model, options.source_weights);
    } catch (const Error& error) {
        throw Error(concat(error.what(),
                           " in Q4_1; then: kvlab_weights convert SmolLM2-135M-Instruct-Q4_1 "
                           "weights/downloads/",
                           kFloatModel, ".gguf --type f32"));
    }
}

class Subject {
public:
    // options.model "distilgpt2" is the shape above; everything else is a file, as in Session.
    explicit Subject(const SessionOptions& options) {
        if (options.model != "distilgpt2") {
            session_ = std::make_unique<Session>(options);
            engine_ = session_->engine.get();
            model_ = session_->model;
            level_ = session_->level;
        } else {
            level_ =
                options.simd.empty() ? default_simd_level() : parse_simd_level(options.simd);
            own_engine_ = make_cpu_engine({options.threads == 0 ? 1 : options.threads, level_});
            engine_ = own_engine_.get();
            model_ = load_model(*make_synthetic(distilgpt2_shape(), 42), *engine_);
        }
        decoder_ = std::make_unique<Decoder>(model_, *engine_);
    }

    Decoder& decoder() { return *decoder_; }

    Engine& engine() { return *engine_; }

    const Config& config() const { return model_->config; }

    const std::shared_ptr<const Model>& model() const { return model_; }

    SimdLevel level() const { return level_; }

    std::string engine_name() const { return engine_->name(); }

    // Of the matrices that a step reads, as the engine holds them: what CostModel says of float
    // weights, for weights of any type.
    Index step_weight_bytes() const {
        Index bytes = model_->head_matrix().bytes();
        for (const LayerWeights& w : model_->layers)
            bytes += w.qkv.weight->bytes() + w.out.weight->bytes() + w.gate_up.weight->bytes() +
                     w.down.weight->bytes();
        return bytes;
    }

    // Tokens that any run can make again: for what does not depend on the text.
    std::vector<Token> random_text(Index length) const {
        Rng rng(42);
        std::vector<Token> text(static_cast<std::size_t>(length));
        for (Token& token : text) token = static_cast<Token>(rng.below(config().vocab));
        return text;
    }

private:
    std::unique_ptr<Session> session_;
    std::unique_ptr<Engine> own_engine_;
    Engine* engine_ = nullptr;
    std::shared_ptr<const Model> model_;
    SimdLevel level_{};
    std::unique_ptr<Decoder> decoder_;
};

}  // namespace kvlab::app
