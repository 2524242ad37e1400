#include <kvlab/attention/synthetic.hpp>

#include <cmath>
#include <deque>

#include <kvlab/tensor/random.hpp>

namespace kvlab {

namespace {

class SyntheticWeights final : public WeightSource {
public:
    SyntheticWeights(const Config& config, std::uint64_t seed)
        : name_(concat("synthetic ", architecture_name(config.architecture), " seed ", seed)),
          metadata_(config.to_metadata()),
          rng_(seed) {}

    const std::string& name() const override { return name_; }

    const Metadata& metadata() const override { return metadata_; }

    std::span<const TensorInfo> tensors() const override { return tensors_; }

    const TensorInfo* find(std::string_view tensor_name) const override {
        for (const TensorInfo& info : tensors_)
            if (info.name == tensor_name) return &info;
        return nullptr;
    }

    // Normal numbers around `mean`.
    void add(const std::string& name, Shape shape, float deviation, float mean = 0.0f) {
        Tensor& values = storage_.emplace_back(shape);
        for (float& x : values.flat()) x = std::fma(rng_.normal(), deviation, mean);
        tensors_.push_back({name, TensorType::f32, shape,
                            std::as_bytes(std::span<const float>(values.flat()))});
    }

    void add_matrix(const std::string& name, Index outputs, Index depth) {
        add(name, {outputs, depth},
            static_cast<float>(1.0 / std::sqrt(static_cast<double>(depth))));
    }

private:
    std::string name_;
    Metadata metadata_;
    Rng rng_;
    std::deque<Tensor> storage_;  // a deque does not move its elements
    std::vector<TensorInfo> tensors_;
};

void add_llama_layer(SyntheticWeights& w, const Config& c, const std::string& prefix) {
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

void add_gpt2_layer(SyntheticWeights& w, const Config& c, const std::string& prefix) {
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
    auto w = std::make_unique<SyntheticWeights>(config, seed);
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
