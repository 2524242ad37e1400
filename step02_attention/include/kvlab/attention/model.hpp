// model.hpp - chapter 2: a configuration and the weights that belong to it, loaded
// into an engine.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <kvlab/attention/config.hpp>
#include <kvlab/attention/engine.hpp>
#include <kvlab/tensor/rope.hpp>
#include <kvlab/weights/weight_source.hpp>

namespace kvlab {

// A matrix and, for gpt2, its bias.
struct Linear {
    std::unique_ptr<Matrix> weight;  // [outputs, depth]
    std::unique_ptr<Buffer> bias;    // [outputs] or null
};

// The scale of a norm and, for gpt2, its shift.
struct Norm {
    std::unique_ptr<Buffer> weight;  // [C]
    std::unique_ptr<Buffer> bias;    // [C] or null
};

struct LayerWeights {
    Norm attention_norm;
    Linear qkv;  // [(Hq + 2 Hkv) D, C]: queries, keys, values, one after the other
    Linear out;  // [C, Hq D]
    Norm ffn_norm;
    Linear gate_up;  // llama: [2F, C], gate first; gpt2: [F, C], up alone
    Linear down;     // [C, F]
};

// Weights are read-only after loading, so that any number of decoders, in any threads, can
// share one Model. They may outlive the engine that loaded them, and work with every engine of
// its kind.
struct Model {
    Config config;
    std::string source;                 // the file's name, for messages
    std::unique_ptr<Matrix> embedding;  // [V, C]
    std::unique_ptr<Matrix> positions;  // gpt2: [context, C], else null
    std::vector<LayerWeights> layers;
    Norm final_norm;
    std::unique_ptr<Matrix> head;  // [V, C], null when tied to the embedding
    RopeTable rope;                // llama: for the whole context, made as it is used

    const Matrix& output_matrix() const { return head ? *head : *embedding; }

    Index weight_bytes() const;  // as the engine holds them
};

// Reads GGUF's tensor names of the architecture. Throws Error, naming the file and the tensor,
// for whatever is missing, has another shape than the configuration says, or would be left out
// (architecture.hpp). Every tensor of the source is read.
std::shared_ptr<const Model> load_model(const WeightSource& source, Engine& engine);

// A llama model without what its layers do between tokens: LayerWeights::qkv and ::out are
// empty. For decoders that mix tokens another way (Decoder::mix). `config` must be one that
// has been checked; which tensors the source may hold besides is for the caller to say.
std::shared_ptr<const Model> load_frame(const WeightSource& source,
                                        const Config& config,
                                        Engine& engine);

}  // namespace kvlab
