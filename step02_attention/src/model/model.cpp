#include <kvlab/attention/model.hpp>

#include <vector>

#include <kvlab/attention/architecture.hpp>

namespace kvlab {

namespace {

// Takes tensors out of a source by name and checks their shapes.
class Loader {
public:
    Loader(const WeightSource& source, Engine& engine) : source_(source), engine_(engine) {}

    std::unique_ptr<Buffer> vector(const std::string& name, Index n) {
        const TensorInfo& info = source_.tensor(name, {n});
        auto buffer = upload(to_f32(info));
        source_.release(info);
        return buffer;
    }

    std::unique_ptr<Matrix> matrix(const std::string& name, Index outputs, Index depth) {
        return load({&source_.tensor(name, {outputs, depth})});
    }

    // Several matrices of the same depth, one after the other.
    std::unique_ptr<Matrix> stacked(const std::string& prefix,
                                    const std::vector<std::pair<std::string, Index>>& parts,
                                    Index depth) {
        std::vector<const TensorInfo*> tensors;
        tensors.reserve(parts.size());
        for (const auto& [name, outputs] : parts)
            tensors.push_back(&source_.tensor(prefix + name + ".weight", {outputs, depth}));
        return load(tensors);
    }

    Norm norm(const std::string& name, Index n, bool bias) {
        Norm norm;
        norm.weight = vector(name + ".weight", n);
        if (bias) norm.bias = vector(name + ".bias", n);
        return norm;
    }

    Linear linear(const std::string& name, Index outputs, Index depth, bool bias) {
        Linear linear;
        linear.weight = matrix(name + ".weight", outputs, depth);
        if (bias) linear.bias = vector(name + ".bias", outputs);
        return linear;
    }

private:
    std::unique_ptr<Matrix> load(const std::vector<const TensorInfo*>& parts) {
        auto matrix = engine_.load_matrix(parts);
        for (const TensorInfo* part : parts) source_.release(*part);  // the engine has its copy
        return matrix;
    }

    std::unique_ptr<Buffer> upload(const Tensor& values) {
        auto buffer = engine_.allocate(values.size());
        engine_.upload(values.flat(), buffer->data());
        return buffer;
    }

    const WeightSource& source_;
    Engine& engine_;
};

LayerWeights load_llama_layer(Loader& load, const Config& c, const std::string& prefix) {
    LayerWeights layer;
    const Index q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
    layer.attention_norm = load.norm(prefix + "attn_norm", c.dim, false);
    layer.qkv.weight =
        load.stacked(prefix, {{"attn_q", q}, {"attn_k", kv}, {"attn_v", kv}}, c.dim);
    layer.out = load.linear(prefix + "attn_output", c.dim, q, false);
    layer.ffn_norm = load.norm(prefix + "ffn_norm", c.dim, false);
    layer.gate_up.weight =
        load.stacked(prefix, {{"ffn_gate", c.ffn}, {"ffn_up", c.ffn}}, c.dim);
    layer.down = load.linear(prefix + "ffn_down", c.dim, c.ffn, false);
    return layer;
}

LayerWeights load_gpt2_layer(Loader& load, const Config& c, const std::string& prefix) {
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
    const auto linear = [&](const Linear& l) { return l.weight->bytes() + vector(l.bias); };
    for (const LayerWeights& layer : layers)
        bytes += norm(layer.attention_norm) + linear(layer.qkv) + linear(layer.out) +
                 norm(layer.ffn_norm) + linear(layer.gate_up) + linear(layer.down);
    return bytes + norm(final_norm);
}

std::shared_ptr<const Model> load_model(const WeightSource& source, Engine& engine) {
    auto model = std::make_shared<Model>();
    Config& c = model->config;
    c = read_config(source);
    model->source = source.name();
    const bool gpt2 = c.architecture == Architecture::gpt2;
    Loader load(source, engine);
    model->embedding = load.matrix("token_embd.weight", c.vocab, c.dim);
    if (gpt2) model->positions = load.matrix("position_embd.weight", c.context, c.dim);
    for (Index l = 0; l < c.layers; ++l) {
        const std::string prefix = concat("blk.", l, ".");
        model->layers.push_back(gpt2 ? load_gpt2_layer(load, c, prefix)
                                     : load_llama_layer(load, c, prefix));
    }
    model->final_norm = load.norm("output_norm", c.dim, gpt2);
    if (!c.tied_output) model->head = load.matrix("output.weight", c.vocab, c.dim);
    if (!gpt2) model->rope = RopeTable(c.context, c.rope_dim, c.rope_base);
    return model;
}

}  // namespace kvlab
