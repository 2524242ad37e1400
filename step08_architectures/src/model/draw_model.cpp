#include <kvlab/architectures/draw_model.hpp>

#include <kvlab/architectures/registry.hpp>
#include <kvlab/attention/drawn_weights.hpp>

namespace kvlab {

namespace {

// As a file of this architecture has it: the frame's keys are llama's under another name.
Metadata describe_model(const Config& config,
                        const std::vector<std::string>& mixers,
                        const std::vector<std::pair<std::string, Index>>& keys,
                        const std::vector<std::int32_t>& kv_layer) {
    constexpr std::string_view llama = "llama.";
    Metadata metadata("drawn model");
    const Metadata frame = config.to_metadata();
    for (const Metadata::Entry& entry : frame.entries()) {
        const std::string_view key = entry.key;
        if (!key.starts_with(llama))
            metadata.set(key, entry.value);
        else if (key != "llama.attention.value_length")
            metadata.set(concat("kvlab.", key.substr(llama.size())), entry.value);
    }
    metadata.set("general.architecture", std::string("kvlab"));
    metadata.set("kvlab.mixers", MetaArray(mixers));
    for (const auto& [key, value] : keys)
        metadata.set(concat("kvlab.", key), static_cast<std::uint32_t>(value));
    if (!kv_layer.empty()) metadata.set("kvlab.kv_layer", MetaArray(kv_layer));
    return metadata;
}

void add_mixer(DrawnWeights& weights, const MixerEntry& entry, const MixerPlan& plan) {
    for (const MixerTensor& tensor : entry.tensors(plan)) {
        const std::string name = concat("blk.", plan.layer, ".", tensor.name, ".weight");
        if (tensor.shape.rank() == 2 && !tensor.between)
            weights.add_matrix(name, tensor.shape[0], tensor.shape[1]);
        else
            weights.add_between(name, tensor.shape, tensor.low, tensor.high);
    }
}

}  // namespace

std::unique_ptr<WeightSource> draw_mixed_model(
    const Config& config,
    const std::vector<std::string>& mixers,
    const std::vector<std::pair<std::string, Index>>& keys,
    std::uint64_t seed,
    const std::vector<std::int32_t>& kv_layer) {
    check(std::ssize(mixers) == config.layers, "drawn model: expected a mixer for each of ",
          config.layers, " layers, found ", mixers.size());
    auto w = std::make_unique<DrawnWeights>(
        "drawn model", describe_model(config, mixers, keys, kv_layer), seed);
    w->add("token_embd.weight", {config.vocab, config.dim}, 1.0f);
    for (Index layer = 0; layer < config.layers; ++layer) {
        const std::string prefix = concat("blk.", layer, ".");
        w->add(prefix + "attn_norm.weight", {config.dim}, 0.1f, 1.0f);
        add_mixer(*w, find_mixer(at(mixers, layer)), {w->metadata(), config, layer});
        w->add(prefix + "ffn_norm.weight", {config.dim}, 0.1f, 1.0f);
        w->add_matrix(prefix + "ffn_gate.weight", config.ffn, config.dim);
        w->add_matrix(prefix + "ffn_up.weight", config.ffn, config.dim);
        w->add_matrix(prefix + "ffn_down.weight", config.dim, config.ffn);
    }
    w->add("output_norm.weight", {config.dim}, 0.1f, 1.0f);
    w->add_matrix("output.weight", config.vocab, config.dim);
    return w;
}

}  // namespace kvlab
