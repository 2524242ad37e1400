#include <kvlab/attention/synthetic.hpp>

#include <kvlab/attention/drawn_weights.hpp>

namespace kvlab {

namespace {

void add_llama_layer(DrawnWeights& w, const Config& c, const std::string& prefix) {
    const Index q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
    w.add(prefix + "attn_norm.weight", {c.dim}, 0.1f, 1.0f);
    w.add_matrix(prefix + "attn_q.weight", q, c.dim);
    w.add_matrix(prefix + "attn_k.weight", kv, c.dim);
    w.add_matrix(prefix + "attn_v.weight", kv, c.dim);
    w.add_matrix(prefix + "attn_output.weight", c.dim, q);
    w.add(prefix + "ffn_norm.weight", {c.dim}, 0.1f, 1.0f);
    w.add_matrix(prefix + "ffn_gate.weight", c.ffn, c.dim);
    w.add_matrix(prefix + "ffn_up.weight", c.ffn, c.dim);
    w.add_matrix(prefix + "ffn_down.weight", c.dim, c.ffn);
}

void add_gpt2_layer(DrawnWeights& w, const Config& c, const std::string& prefix) {
    const auto linear = [&](const std::string& name, Index outputs, Index depth) {
        w.add_matrix(prefix + name + ".weight", outputs, depth);
        w.add(prefix + name + ".bias", {outputs}, 0.1f);
    };
    const auto norm = [&](const std::string& name) {
        w.add(prefix + name + ".weight", {c.dim}, 0.1f, 1.0f);
        w.add(prefix + name + ".bias", {c.dim}, 0.1f);
    };
    norm("attn_norm");
    linear("attn_qkv", c.qkv_width(), c.dim);
    linear("attn_output", c.dim, c.dim);
    norm("ffn_norm");
    linear("ffn_up", c.ffn, c.dim);
    linear("ffn_down", c.dim, c.ffn);
}

}  // namespace

std::unique_ptr<WeightSource> make_synthetic(const Config& config, std::uint64_t seed) {
    config.validate("synthetic weights");
    auto w = std::make_unique<DrawnWeights>(
        concat("synthetic ", architecture_name(config.architecture), " seed ", seed),
        config.to_metadata(), seed);
    const bool gpt2 = config.architecture == Architecture::gpt2;
    w->add("token_embd.weight", {config.vocab, config.dim}, 1.0f);
    if (gpt2) w->add("position_embd.weight", {config.context, config.dim}, 1.0f);
    for (Index l = 0; l < config.layers; ++l) {
        const std::string prefix = concat("blk.", l, ".");
        gpt2 ? add_gpt2_layer(*w, config, prefix) : add_llama_layer(*w, config, prefix);
    }
    w->add("output_norm.weight", {config.dim}, 0.1f, 1.0f);
    if (gpt2) w->add("output_norm.bias", {config.dim}, 0.1f);
    if (!config.tied_output) w->add_matrix("output.weight", config.vocab, config.dim);
    return w;
}

}  // namespace kvlab
