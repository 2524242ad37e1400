// config.hpp - chapter 2: the numbers that make one decoder out of the family.
#pragma once

#include <string>

#include <kvlab/tensor/tensor.hpp>
#include <kvlab/weights/metadata.hpp>

namespace kvlab {

// llama: RMSNorm, RoPE, SwiGLU, no biases. gpt2: LayerNorm, learned positions, GELU, biases.
enum class Architecture { llama, gpt2 };

struct Config {
    Architecture architecture = Architecture::llama;
    std::string name = "unnamed";  // as a terminal may show it
    Index vocab = 256;             // V
    Index dim = 64;                // C, the width of the residual stream
    Index layers = 2;              // L
    Index heads = 4;               // Hq, query heads
    Index kv_heads = 2;            // Hkv: = Hq is MHA, 1 is MQA, between is GQA
    Index head_dim = 16;           // D
    Index ffn = 172;               // F, the width of the feed-forward layer
    Index context = 512;           // positions that the model was trained for
    Index rope_dim = 16;           // the first rope_dim floats of a head are rotated
    double rope_base = 10000.0;
    float norm_eps = 1e-5f;
    bool tied_output = false;  // the output matrix is the embedding

    Index group() const { return heads / kv_heads; }  // query heads per KV head

    Index qkv_width() const { return (heads + 2 * kv_heads) * head_dim; }

    Index parameters() const;  // floats in all tensors

    // Throws Error, naming `source` and the field, unless every number is usable.
    void validate(const std::string& source) const;

    // From GGUF's keys. Throws Error for a missing key or an architecture other than these two.
    // What else a model file may hold: architecture.hpp.
    static Config from_metadata(const Metadata& metadata);
    Metadata to_metadata() const;
};

const char* architecture_name(Architecture architecture);

}  // namespace kvlab
