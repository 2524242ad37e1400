#include "models.hpp"

#include <deque>

#include <kvlab/attention/command_line.hpp>
#include <kvlab/attention/synthetic.hpp>
#include <kvlab/kvcache/subject.hpp>
#include <kvlab/weights/gguf_file.hpp>
#include <kvlab/weights/quantize.hpp>

namespace kvlab::app {

namespace {

constexpr std::uint64_t kSeed = 7;
constexpr const char* kNone = "none";
constexpr Index kLongContext = 8192 + 64;

Config smollm2(bool small) {
    Config config = smollm2_shape();
    config.context = kLongContext;
    if (small) {
        config.layers = 2;
        config.vocab = 512;
    }
    return config;
}

// One layer of Llama-2-7B: 202 million weights, more than any second-level cache. Its
// vocabulary is cut, so that the layer is what takes the time.
Config llama2_layer(bool small) {
    Config config;
    config.vocab = 512;
    config.dim = small ? 256 : 4096;
    config.layers = 1;
    config.heads = config.kv_heads = small ? 2 : 32;
    config.head_dim = config.rope_dim = 128;
    config.ffn = small ? 704 : 11008;
    config.context = kLongContext;
    config.tied_output = true;
    return config;
}

// The matrices of another source in one type; what is no matrix stays as it is.
class ConvertedWeights final : public WeightSource {
public:
    ConvertedWeights(std::unique_ptr<WeightSource> base, TensorType type)
        : base_(std::move(base)), name_(concat(base_->name(), " as ", type_name(type))) {
        for (const TensorInfo& info : base_->tensors()) {
            tensors_.push_back(info);
            if (info.shape.rank() != 2 || type == info.type) continue;
            const Tensor floats = to_f32(info);
            std::vector<std::byte>& bytes =
                storage_.emplace_back(usize(bytes_for(type, floats.size())));
            quantize(type, floats.flat(), bytes);
            tensors_.back().type = type;
            tensors_.back().bytes = bytes;
        }
    }

    const std::string& name() const override { return name_; }

    const Metadata& metadata() const override { return base_->metadata(); }

    std::span<const TensorInfo> tensors() const override { return tensors_; }

    const TensorInfo* find(std::string_view tensor_name) const override {
        for (const TensorInfo& info : tensors_)
            if (info.name == tensor_name) return &info;
        return nullptr;
    }

private:
    std::unique_ptr<WeightSource> base_;
    std::string name_;
    std::vector<TensorInfo> tensors_;
    std::deque<std::vector<std::byte>> storage_;  // a deque does not move its elements
};

std::unique_ptr<WeightSource> random_weights_of(Config config,
                                                const std::string& name,
                                                const std::string& type) {
    config.name = name + "'s shape, random weights";
    return std::make_unique<ConvertedWeights>(make_synthetic(config, kSeed),
                                              tensor_type_from_name(type).value());
}

}  // namespace

std::vector<ModelChoice> chosen_models(const Bench& bench) {
    std::vector<ModelChoice> models;
    const BenchFlags& flags = bench.flags();
    for (const std::string& name : flags.models)
        if (name != kNone)
            models.push_back({name, [name] {
                                  return std::make_unique<GgufFile>(
                                      GgufFile::open(find_model(name, cli::kSourceWeights)));
                              }});
    const bool small = bench.small();
    for (const std::string& name : flags.synthetic) {
        if (name == kNone) continue;
        const bool layer = name == "llama2-7b-layer";
        const Config config = layer ? llama2_layer(small) : smollm2(small);
        for (const std::string& type : layer ? std::vector<std::string>{"F16"} : flags.types)
            models.push_back({concat(name, " ", type),
                              [=] { return random_weights_of(config, name, type); }});
    }
    return models;
}

}  // namespace kvlab::app
