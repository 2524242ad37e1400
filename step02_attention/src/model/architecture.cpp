#include <kvlab/attention/architecture.hpp>

#include <algorithm>
#include <array>
#include <optional>
#include <type_traits>

#include <kvlab/tensor/text.hpp>

namespace kvlab {

namespace {

constexpr TensorTrait kLlamaTensors[] = {
    {"token_embd.weight", false},    {"output_norm.weight", false},
    {"output.weight", false, false},  // without it the head is the embedding
    {"attn_norm.weight", true},      {"attn_q.weight", true},
    {"attn_k.weight", true},         {"attn_v.weight", true},
    {"attn_output.weight", true},    {"ffn_norm.weight", true},
    {"ffn_gate.weight", true},       {"ffn_up.weight", true},
    {"ffn_down.weight", true},
};

constexpr TensorTrait kGpt2Tensors[] = {
    {"token_embd.weight", false},    {"position_embd.weight", false},
    {"output_norm.weight", false},   {"output_norm.bias", false},
    {"output.weight", false, false},  // without it the head is the embedding
    {"attn_norm.weight", true},      {"attn_norm.bias", true},
    {"attn_qkv.weight", true},       {"attn_qkv.bias", true},
    {"attn_output.weight", true},    {"attn_output.bias", true},
    {"ffn_norm.weight", true},       {"ffn_norm.bias", true},
    {"ffn_up.weight", true},         {"ffn_up.bias", true},
    {"ffn_down.weight", true},       {"ffn_down.bias", true},
};

// What a tensor that is not in the table is part of, by a piece of its name.
constexpr struct {
    const char* piece;
    const char* what;
} kOtherTensors[] = {
    {"_exps.", "a mixture of experts"},       {"_shexp.", "a mixture of experts"},
    {"ffn_gate_inp", "a mixture of experts"}, {"rope_freqs", "scaled RoPE"},
    {"rope_factors", "scaled RoPE"},          {"attn_q_norm", "norms of queries"},
    {"attn_k_norm", "norms of keys"},         {"attn_qkv", "queries, keys and values in one"},
    {"post_", "norms after a branch"},        {".lora_", "an adapter"},
    {".scale", "scales beside a matrix"},     {".bias", "biases"},
};

std::optional<double> number_of(const MetaValue& value) {
    return std::visit(
        [](const auto& found) -> std::optional<double> {
            if constexpr (std::is_arithmetic_v<std::decay_t<decltype(found)>>)
                return static_cast<double>(found);
            else
                return std::nullopt;
        },
        value);
}

bool is_off(const KeyContext& key) {
    return number_of(key.value) == 0.0;
}

bool is_one_or_off(const KeyContext& key) {
    return is_off(key) || number_of(key.value) == 1.0;
}

bool is_true(const KeyContext& key) {
    return number_of(key.value) == 1.0;
}

bool is_head_width(const KeyContext& key) {
    return number_of(key.value) == static_cast<double>(key.config.head_dim);
}

bool is_vocabulary(const KeyContext& key) {
    return number_of(key.value) == static_cast<double>(key.config.vocab);
}

bool is_kv_heads(const KeyContext& key) {
    return number_of(key.value) == static_cast<double>(key.config.kv_heads);
}

// A window over the whole context hides nothing.
bool hides_nothing(const KeyContext& key) {
    return is_off(key) || number_of(key.value) >= static_cast<double>(key.config.context);
}

constexpr const char* kScalingType = "llama.rope.scaling.type";

bool is_string(const MetaValue* value, const char* wanted) {
    const auto* text = value ? std::get_if<std::string>(value) : nullptr;
    return text != nullptr && *text == wanted;
}

// Linear scaling by a factor of 1 is none; the factor has a row of its own.
bool is_no_scaling(const KeyContext& key) {
    return is_string(&key.value, "none") || is_string(&key.value, "linear");
}

// A factor without a type is one of linear scaling.
bool scales_nothing(const KeyContext& key) {
    return is_one_or_off(key) || is_string(key.metadata.find(kScalingType), "none");
}

constexpr KeyTrait kCommonKeys[] = {
    {"context_length"},
    {"embedding_length"},
    {"block_count"},
    {"feed_forward_length"},
    {"attention.head_count"},
    {"attention.key_length"},
    {"tensor_data_layout"},
    {"attention.value_length", is_head_width, "the width of a key",
     "values of another width than keys"},
    {"vocab_size", is_vocabulary, "the rows of token_embd.weight", "another vocabulary"},
    {"attention.causal", is_true, "true", "attention to later tokens"},
    {"attention.sliding_window", hides_nothing, "0 or the whole context",
     "sliding-window attention"},
    {"attention.scale", is_off, "0", "another scale of attention"},
    {"attention.clamp_kqv", is_off, "0", "clamped queries, keys and values"},
    {"attention.max_alibi_bias", is_off, "0", "ALiBi"},
    {"attn_logit_softcapping", is_off, "0", "capped attention"},
    {"final_logit_softcapping", is_off, "0", "capped logits"},
    {"logit_scale", is_one_or_off, "1", "scaled logits"},
    {"embedding_scale", is_one_or_off, "1", "scaled embeddings"},
    {"residual_scale", is_one_or_off, "1", "scaled branches"},
    {"use_parallel_residual", is_off, "false", "parallel branches"},
    {"expert_count", is_off, "0", "a mixture of experts"},
    {"expert_used_count", is_off, "0", "a mixture of experts"},
    {"expert_shared_count", is_off, "0", "a mixture of experts"},
};

constexpr KeyTrait kLlamaKeys[] = {
    {"attention.head_count_kv"},
    {"attention.layer_norm_rms_epsilon"},
    {"rope.dimension_count"},
    {"rope.freq_base"},
    {"rope.scaling.original_context_length"},
    {"rope.scaling.finetuned"},
    {"rope.scaling.type", is_no_scaling, "'none', or 'linear' with factor 1", "scaled RoPE"},
    {"rope.scaling.factor", scales_nothing, "1", "scaled RoPE"},
    {"rope.scale_linear", scales_nothing, "1", "scaled RoPE"},
    {"rope.scaling.attn_factor", is_one_or_off, "1", "scaled RoPE"},
};

constexpr KeyTrait kGpt2Keys[] = {
    {"attention.layer_norm_epsilon"},
    {"attention.head_count_kv", is_kv_heads, "as many as query heads", "shared KV heads"},
};

constexpr ArchitectureTraits kArchitectures[] = {
    {Architecture::llama, "llama", kLlamaTensors, kLlamaKeys},
    {Architecture::gpt2, "gpt2", kGpt2Tensors, kGpt2Keys},
};

const KeyTrait* find_key(std::span<const KeyTrait> keys, std::string_view name) {
    const auto found = std::ranges::find(keys, name, &KeyTrait::key);
    return found == keys.end() ? nullptr : &*found;
}

// A tensor's name, taken apart; layer -1 for one that belongs to none.
struct TensorName {
    Index layer = -1;
    std::string_view rest;

    explicit TensorName(std::string_view name) : rest(name) {
        constexpr std::string_view head = "blk.";
        const std::size_t dot = name.find('.', head.size());
        if (!name.starts_with(head) || dot == name.npos || dot > head.size() + 9) return;
        Index number = 0;
        for (const char c : name.substr(head.size(), dot - head.size())) {
            if (c < '0' || c > '9') return;
            number = 10 * number + (c - '0');
        }
        if (!name.starts_with(concat(head, number, '.'))) return;  // "blk.00."
        layer = number;
        rest.remove_prefix(dot + 1);
    }
};

[[noreturn]] void refuse_tensor(const ArchitectureTraits& traits,
                                const std::string& source,
                                std::string_view name) {
    std::string what;
    for (const auto& other : kOtherTensors)
        if (what.empty() && name.find(other.piece) != name.npos)
            what = concat(": ", other.what, " (not supported)");
    throw Error(concat(source, ": tensor ", quote(name), ": expected only the tensors of a ",
                       traits.name, " model, found this one, which would be left out", what));
}

}  // namespace

std::span<const ArchitectureTraits> architectures() {
    return kArchitectures;
}

const ArchitectureTraits& traits_of(Architecture architecture) {
    return kArchitectures[static_cast<std::size_t>(architecture)];
}

void check_keys(const Config& config, const Metadata& metadata) {
    const ArchitectureTraits& traits = traits_of(config.architecture);
    const std::string prefix = concat(traits.name, ".");
    for (const Metadata::Entry& entry : metadata.entries()) {
        if (!entry.key.starts_with(prefix)) continue;
        const std::string_view name = std::string_view(entry.key).substr(prefix.size());
        const KeyTrait* key = find_key(kCommonKeys, name);
        if (key == nullptr) key = find_key(traits.keys, name);
        const std::string where = concat(metadata.source(), ": key ", quote(entry.key));
        check(key != nullptr, where, ": expected only keys that kvlab understands, found this ",
              "one, which would be left out: ", describe(entry.value));
        check(key->accepts == nullptr || key->accepts({entry.value, config, metadata}), where,
              ": expected ", key->expected, ", found ", describe(entry.value), ": ", key->what,
              " (not supported)");
    }
}

void check_tensors(const Config& config, const WeightSource& source) {
    const ArchitectureTraits& traits = traits_of(config.architecture);
    for (const TensorInfo& info : source.tensors()) {
        const TensorName name(info.name);
        check(name.layer < config.layers, source.name(), ": tensor ", quote(info.name),
              ": expected layers 0 to ", config.layers - 1, " (", traits.name,
              ".block_count), found layer ", name.layer);
        const auto known = std::ranges::find_if(traits.tensors, [&](const TensorTrait& t) {
            return name.rest == t.name && t.in_layer == (name.layer >= 0);
        });
        if (known == traits.tensors.end()) refuse_tensor(traits, source.name(), info.name);
    }
    for (const TensorTrait& trait : traits.tensors)
        for (Index layer = 0; trait.required && layer < (trait.in_layer ? config.layers : 1);
             ++layer)
            source.tensor(trait.in_layer ? concat("blk.", layer, ".", trait.name)
                                         : std::string(trait.name));
}

Config read_config(const WeightSource& source) {
    Config config = Config::from_metadata(source.metadata());
    const TensorInfo& embedding = source.tensor("token_embd.weight");
    check(embedding.shape.rank() == 2, source.name(),
          ": tensor 'token_embd.weight': expected a matrix, found ", embedding.shape);
    config.vocab = embedding.shape[0];
    config.tied_output = source.find("output.weight") == nullptr;
    check_keys(config, source.metadata());
    config.validate(source.name());
    check_tensors(config, source);
    return config;
}

}  // namespace kvlab
