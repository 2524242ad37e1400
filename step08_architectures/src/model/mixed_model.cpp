#include <kvlab/architectures/mixed_model.hpp>

#include <algorithm>
#include <set>

#include <kvlab/architectures/registry.hpp>
#include <kvlab/attention/architecture.hpp>
#include <kvlab/tensor/text.hpp>

namespace kvlab {

namespace {

constexpr std::string_view kPrefix = "kvlab.";

// The keys that the frame is described with, as a llama model has them.
constexpr const char* kFrameKeys[] = {
    "context_length",       "embedding_length",
    "block_count",          "feed_forward_length",
    "attention.head_count", "attention.head_count_kv",
    "attention.key_length", "attention.layer_norm_rms_epsilon",
    "rope.dimension_count", "rope.freq_base",
    "vocab_size",
};

// The tensors that are no mixer's: of the whole model, and of each layer.
constexpr const char* kFrameTensors[] = {"token_embd", "output_norm", "output"};
constexpr const char* kLayerTensors[] = {"attn_norm", "ffn_norm", "ffn_gate", "ffn_up",
                                         "ffn_down"};

bool is_one_of(std::span<const char* const> names, std::string_view name) {
    return std::ranges::any_of(names, [&](const char* one) { return name == one; });
}

// The same metadata with the keys of the frame under llama's names, so that chapter 2 reads it.
Metadata as_llama(const Metadata& metadata) {
    Metadata llama(metadata.source());
    for (const Metadata::Entry& entry : metadata.entries()) {
        if (!entry.key.starts_with(kPrefix)) continue;
        const std::string_view name = std::string_view(entry.key).substr(kPrefix.size());
        if (is_one_of(kFrameKeys, name)) llama.set(concat("llama.", name), entry.value);
    }
    llama.set("general.architecture", std::string("llama"));
    llama.set("general.name", metadata.get_string_or("general.name", "unnamed"));
    return llama;
}

Config frame_config(const WeightSource& source, Index context) {
    const Metadata llama = as_llama(source.metadata());
    Config config = Config::from_metadata(llama);
    const TensorInfo& embedding = source.tensor("token_embd.weight");
    check(embedding.shape.rank() == 2, source.name(),
          ": tensor 'token_embd.weight': expected a matrix, found ", embedding.shape);
    config.vocab = embedding.shape[0];
    config.tied_output = source.find("output.weight") == nullptr;
    check_keys(config, llama);
    if (context > 0) config.context = context;
    config.validate(source.name());
    return config;
}

std::vector<const MixerEntry*> read_entries(const WeightSource& source, const Config& config) {
    const std::vector<std::string>& names = source.metadata().get_strings("kvlab.mixers");
    check(std::ssize(names) == config.layers, source.name(),
          ": kvlab.mixers: expected one for each of ", config.layers, " layers, found ",
          names.size());
    std::vector<const MixerEntry*> entries;
    entries.reserve(names.size());
    for (const std::string& name : names) entries.push_back(&find_mixer(name));
    return entries;
}

// Whatever is left out gives a wrong answer with no sign of it: so no key and no tensor may be
// there that nobody reads.
void check_all_read(const WeightSource& source,
                    const Config& config,
                    std::span<const MixerEntry* const> entries) {
    std::set<std::string, std::less<>> keys{"mixers"}, tensors;
    for (const char* key : kFrameKeys) keys.insert(key);
    for (const char* name : kFrameTensors) tensors.insert(concat(name, ".weight"));
    for (Index layer = 0; layer < config.layers; ++layer) {
        const MixerEntry& entry = *at(entries, layer);
        keys.insert(entry.keys.begin(), entry.keys.end());
        const auto add = [&](const char* name) {
            tensors.insert(concat("blk.", layer, ".", name, ".weight"));
        };
        for (const char* name : kLayerTensors) add(name);
        for (const MixerTensor& tensor : entry.tensors({source.metadata(), config, layer}))
            add(tensor.name);
    }
    for (const Metadata::Entry& entry : source.metadata().entries())
        check(!entry.key.starts_with(kPrefix) ||
                  keys.contains(std::string_view(entry.key).substr(kPrefix.size())),
              source.name(), ": key ", quote(entry.key),
              ": none of the model's mixers reads it: ", describe(entry.value));
    for (const TensorInfo& info : source.tensors())
        check(tensors.contains(info.name), source.name(), ": tensor ", quote(info.name),
              ": none of the model's layers reads it");
}

}  // namespace

Index MixedModel::state_bytes(Index length) const {
    Index bytes = 0;
    for (const auto& mixer : mixers) bytes += mixer->state_bytes(length);
    return bytes;
}

bool is_mixed_model(const WeightSource& source) {
    return source.metadata().get_string_or("general.architecture", "") == "kvlab";
}

std::shared_ptr<const MixedModel> load_mixed_model(const WeightSource& source,
                                                   Engine& engine,
                                                   Index context) {
    check(is_mixed_model(source), source.name(),
          ": general.architecture: expected 'kvlab', a model with mixers");
    const Config config = frame_config(source, context);
    const std::vector<const MixerEntry*> entries = read_entries(source, config);
    check_all_read(source, config, entries);
    auto model = std::make_shared<MixedModel>();
    model->frame = load_frame(source, config, engine);
    TensorLoader load(source, engine);
    for (Index layer = 0; layer < config.layers; ++layer) {
        const MixerEntry& entry = *at(entries, layer);
        model->names.emplace_back(entry.name);
        model->mixers.push_back(
            entry.load({source.metadata(), config, layer}, load, concat("blk.", layer, ".")));
    }
    return model;
}

}  // namespace kvlab
