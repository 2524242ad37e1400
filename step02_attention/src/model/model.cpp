#include <kvlab/attention/model.hpp>

#include <vector>

#include <kvlab/attention/architecture.hpp>
#include <kvlab/attention/tensor_loader.hpp>

namespace kvlab {

namespace {

// What surrounds a layer's attention: its norms and the feed-forward part.
LayerWeights load_llama_frame(TensorLoader& load, const Config& c, const std::string& prefix) {
    LayerWeights layer;
    layer.attention_norm = load.norm(prefix + "attn_norm", c.dim, false);
    layer.ffn_norm = load.norm(prefix + "ffn_norm", c.dim, false);
    layer.gate_up.weight =
        load.stacked(prefix, {{"ffn_gate", c.ffn}, {"ffn_up", c.ffn}}, c.dim);
    layer.down = load.linear(prefix + "ffn_down", c.dim, c.ffn, false);
    return layer;
}

LayerWeights load_llama_layer(TensorLoader& load, const Config& c, const std::string& prefix) {
    LayerWeights layer = load_llama_frame(load, c, prefix);
    const Index q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
    layer.qkv.weight =
        load.stacked(prefix, {{"attn_q", q}, {"attn_k", kv}, {"attn_v", kv}}, c.dim);
    layer.out = load.linear(prefix + "attn_output", c.dim, q, false);
    return layer;
}

LayerWeights load_gpt2_layer(TensorLoader& load, const Config& c, const std::string& prefix) {
    LayerWeights layer;
    layer.attention_norm = load.norm(prefix + "attn_norm", c.dim, true);
    layer.qkv = load.linear(prefix + "attn_qkv", c.qkv_width(), c.dim, true);
    layer.out = load.linear(prefix + "attn_output", c.dim, c.dim, true);
    layer.ffn_norm = load.norm(prefix + "ffn_norm", c.dim, true);
    layer.gate_up = load.linear(prefix + "ffn_up", c.ffn, c.dim, true);
    layer.down = load.linear(prefix + "ffn_down", c.dim, c.ffn, true);
    return layer;
}

}  // namespace

Index Model::weight_bytes() const {
    Index bytes =
        embedding->bytes() + (positions ? positions->bytes() : 0) + (head ? head->bytes() : 0);
    const auto vector = [](const std::unique_ptr<Buffer>& b) {
        return b ? b->size() * Index{sizeof(float)} : 0;
    };
    const auto norm = [&](const Norm& n) { return vector(n.weight) + vector(n.bias); };
    const auto linear = [&](const Linear& l) {
        return (l.weight ? l.weight->bytes() : 0) + vector(l.bias);
    };
    for (const LayerWeights& layer : layers)
        bytes += norm(layer.attention_norm) + linear(layer.qkv) + linear(layer.out) +
                 norm(layer.ffn_norm) + linear(layer.gate_up) + linear(layer.down);
    return bytes + norm(final_norm);
}

namespace {

using LoadLayer = LayerWeights (*)(TensorLoader&, const Config&, const std::string& prefix);

// Everything that belongs to no layer, and the layers as `load_layer` reads them.
std::shared_ptr<Model> load_layers(const WeightSource& source,
                                   const Config& c,
                                   Engine& engine,
                                   LoadLayer load_layer) {
    auto model = std::make_shared<Model>();
    model->config = c;
    model->source = source.name();
    const bool gpt2 = c.architecture == Architecture::gpt2;
    TensorLoader load(source, engine);
    model->embedding = load.matrix("token_embd.weight", c.vocab, c.dim);
    if (gpt2) model->positions = load.matrix("position_embd.weight", c.context, c.dim);
    for (Index l = 0; l < c.layers; ++l)
        model->layers.push_back(load_layer(load, c, concat("blk.", l, ".")));
    model->final_norm = load.norm("output_norm", c.dim, gpt2);
    if (!c.tied_output) model->head = load.matrix("output.weight", c.vocab, c.dim);
    if (!gpt2) model->rope = RopeTable(c.context, c.rope_dim, c.rope_base);
    return model;
}

}  // namespace

std::shared_ptr<const Model> load_model(const WeightSource& source, Engine& engine) {
    const Config c = read_config(source);
    const bool gpt2 = c.architecture == Architecture::gpt2;
    return load_layers(source, c, engine, gpt2 ? load_gpt2_layer : load_llama_layer);
}

std::shared_ptr<const Model> load_frame(const WeightSource& source,
                                        const Config& config,
                                        Engine& engine) {
    check(config.architecture == Architecture::llama, source.name(),
          ": a frame for other layers is that of a llama model");
    return load_layers(source, config, engine, load_llama_frame);
}

}  // namespace kvlab
