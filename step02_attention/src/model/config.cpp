#include <kvlab/attention/config.hpp>

#include <algorithm>

#include <kvlab/attention/architecture.hpp>
#include <kvlab/tensor/text.hpp>

namespace kvlab {

namespace {

// What general.architecture says. A file of another family is refused with what it is.
Architecture read_architecture(const Metadata& metadata) {
    const std::string& name = metadata.get_string("general.architecture");
    const auto known =
        std::ranges::find(architectures(), std::string_view(name), &ArchitectureTraits::name);
    if (known != architectures().end()) return known->architecture;
    std::string supported;
    for (const ArchitectureTraits& traits : architectures())
        supported += (supported.empty() ? "" : " or ") + std::string(traits.name);
    const MetaValue* experts = metadata.find(name + ".expert_count");
    const bool mixture = experts != nullptr && !(*experts == MetaValue(std::uint32_t{0}));
    throw Error(concat(metadata.source(), ": general.architecture: expected ", supported,
                       ", found ", quote(name), mixture ? ", a mixture of experts" : ""));
}

}  // namespace

const char* architecture_name(Architecture architecture) {
    return traits_of(architecture).name;
}

Index Config::parameters() const {
    // SOLUTION-BEGIN 2.4
    const bool gpt2 = architecture == Architecture::gpt2;
    const Index q = heads * head_dim,
                matrices = qkv_width() * dim + dim * q + (gpt2 ? 2 : 3) * ffn * dim;
    const Index norms = 2 * dim, biases = gpt2 ? 2 * dim + qkv_width() + dim + ffn + dim : 0;
    const Index ends =
        vocab * dim * (tied_output ? 1 : 2) + dim + (gpt2 ? dim + context * dim : 0);
    return layers * (matrices + norms + biases) + ends;
    // SOLUTION-END 2.4
}

void Config::validate(const std::string& source) const {
    const auto positive = [&](const char* field, Index value, Index most) {
        check(value >= 1 && value <= most, source, ": ", field, ": expected 1 to ", most,
              ", found ", value);
    };
    positive("vocab", vocab, 1 << 24);
    positive("embedding length", dim, 1 << 20);
    positive("layers", layers, 1 << 12);
    positive("query heads", heads, 1 << 12);
    positive("KV heads", kv_heads, 1 << 12);
    positive("head_dim", head_dim, 256);
    positive("feed-forward length", ffn, 1 << 22);
    positive("context", context, 1 << 24);
    check(heads % kv_heads == 0, source, ": ", heads, " query heads do not share ", kv_heads,
          " KV heads evenly");
    check(norm_eps > 0 && norm_eps < 1, source,
          ": norm epsilon: expected more than 0 and less than 1, found ", norm_eps);
    if (architecture == Architecture::gpt2) {
        check(kv_heads == heads, source, ": gpt2 has one KV head per query head, found ",
              kv_heads, " and ", heads);
        check(heads * head_dim == dim, source, ": gpt2: ", heads, " heads of ", head_dim,
              " do not make ", dim);
        return;
    }
    check(rope_dim >= 2 && rope_dim % 2 == 0 && rope_dim <= head_dim, source,
          ": rope dimension: expected an even number up to ", head_dim, ", found ", rope_dim);
    check(rope_base > 1 && rope_base < 1e12, source,
          ": rope base: expected more than 1 and less than 1e12, found ", rope_base);
}

Config Config::from_metadata(const Metadata& metadata) {
    Config config;
    config.architecture = read_architecture(metadata);
    const std::string arch = architecture_name(config.architecture);
    config.name = printable(metadata.get_string_or("general.name", "unnamed"));
    config.dim = metadata.get_index(arch + ".embedding_length");
    config.layers = metadata.get_index(arch + ".block_count");
    config.heads = metadata.get_index(arch + ".attention.head_count");
    config.ffn = metadata.get_index(arch + ".feed_forward_length");
    config.context = metadata.get_index(arch + ".context_length");
    check(config.heads > 0, metadata.source(), ": ", arch,
          ".attention.head_count: expected more than 0");
    config.head_dim =
        metadata.get_index_or(arch + ".attention.key_length", config.dim / config.heads);
    if (config.architecture == Architecture::gpt2) {
        config.kv_heads = config.heads;
        config.norm_eps = metadata.get_f32(arch + ".attention.layer_norm_epsilon");
        config.rope_dim = 0;
    } else {
        config.kv_heads =
            metadata.get_index_or(arch + ".attention.head_count_kv", config.heads);
        config.norm_eps = metadata.get_f32(arch + ".attention.layer_norm_rms_epsilon");
        config.rope_dim =
            metadata.get_index_or(arch + ".rope.dimension_count", config.head_dim);
        config.rope_base =
            static_cast<double>(metadata.get_f32_or(arch + ".rope.freq_base", 10000.0f));
    }
    return config;
}

Metadata Config::to_metadata() const {
    const std::string arch = architecture_name(architecture);
    Metadata metadata(name);
    const auto set = [&](const char* key, Index value) {
        metadata.set(arch + key, static_cast<std::uint32_t>(value));
    };
    metadata.set("general.architecture", arch);
    metadata.set("general.name", name);
    set(".context_length", context);
    set(".embedding_length", dim);
    set(".block_count", layers);
    set(".feed_forward_length", ffn);
    set(".attention.head_count", heads);
    if (architecture == Architecture::gpt2) {
        metadata.set(arch + ".attention.layer_norm_epsilon", norm_eps);
        return metadata;
    }
    set(".attention.head_count_kv", kv_heads);
    set(".attention.key_length", head_dim);
    set(".attention.value_length", head_dim);
    metadata.set(arch + ".attention.layer_norm_rms_epsilon", norm_eps);
    set(".rope.dimension_count", rope_dim);
    metadata.set(arch + ".rope.freq_base", static_cast<float>(rope_base));
    set(".vocab_size", vocab);
    return metadata;
}

}  // namespace kvlab
