#include <kvlab/quant/quantized_weights.hpp>

#include <algorithm>
#include <limits>

#include <kvlab/attention/config.hpp>
#include <kvlab/quant/calibration.hpp>
#include <kvlab/quant/gptq.hpp>

namespace kvlab {

namespace {

bool is_matrix(const TensorInfo& info) {
    return info.shape.rank() >= 2;
}

// "blk.3." of "blk.3.attn_q.weight"; "" outside of the layers.
std::string layer_of(const std::string& tensor) {
    if (tensor.rfind("blk.", 0) != 0) return "";
    return tensor.substr(0, tensor.find('.', 4) + 1);
}

bool is_rounded(const TensorInfo& info, Rounded which) {
    return is_matrix(info) && (which == Rounded::all || !layer_of(info.name).empty());
}

// Numbers and bytes of all matrices: those that are rounded in `codec`, or in F32 and listed as
// kept, the others as the base stores them.
void count_bytes(const WeightCodec& codec, Rounded which, QuantizedWeights& result) {
    for (const TensorInfo& info : result.weights->tensors()) {
        if (!is_matrix(info)) continue;
        const Index K = info.shape[info.shape.rank() - 1], N = info.shape.size() / K;
        result.numbers += N * K;
        if (!is_rounded(info, which)) {
            result.bytes += std::ssize(info.bytes);
        } else if (codec.takes(K)) {
            result.bytes += codec.bytes(N, K);
        } else {
            result.bytes += bytes_for(TensorType::f32, N * K);
            result.kept.push_back(info.name);
        }
    }
}

void encode_tensor(const WeightCodec& codec, const TensorInfo& info, EditedWeights& weights) {
    Tensor numbers = to_f32(info);
    if (!codec.takes(info.shape[info.shape.rank() - 1])) {
        weights.replace(info.name, std::move(numbers));
        return;
    }
    std::vector<std::byte> bytes = codec.encode(numbers.view());
    if (codec.type()) {
        weights.replace(info.name, *codec.type(), std::move(bytes));
        return;
    }
    codec.decode(bytes, numbers.view());
    weights.replace(info.name, std::move(numbers));
}

// What the layer's products see, or, without a layer, those of all layers.
Calibration products_of(const WeightSource& source,
                        const TextWindows& text,
                        const std::string& layer) {
    CalibrationOptions wants;
    wants.gram = [&](const std::string& tensor) {
        return layer.empty() ? !layer_of(tensor).empty() : layer_of(tensor) == layer;
    };
    return calibrate(source, text, wants);
}

// Calls round(statistics, weights) for the input of every product of the layers, in the model's
// order. `by_layer`: each layer is recorded with all that comes before it already rounded.
template <class Round>
QuantizedWeights calibrated(const WeightSource& base,
                            const TextWindows& text,
                            const CalibratedOptions& options,
                            bool by_layer,
                            Round round) {
    const auto codec = make_rtn_codec(options.bits, options.group);
    QuantizedWeights result;
    result.weights = std::make_unique<EditedWeights>(base);
    const Calibration plain = by_layer ? calibrate(base, text) : products_of(base, text, "");
    Calibration seen = plain;
    std::string layer;
    std::vector<std::string> done;
    for (const auto& input : plain.all()) {
        const std::string& first = input->tensors.front();
        if (layer_of(first).empty()) continue;  // the head
        if (by_layer && layer_of(first) != layer) {
            layer = layer_of(first);
            seen = products_of(*result.weights, text, layer);
        }
        round(seen.of(first), *result.weights);
        done.insert(done.end(), input->tensors.begin(), input->tensors.end());
    }
    for (const TensorInfo& info : base.tensors())
        if (is_rounded(info, options.which) &&
            std::find(done.begin(), done.end(), info.name) == done.end())
            encode_tensor(*codec, info, *result.weights);
    count_bytes(*codec, options.which, result);
    return result;
}

// The best power of the mean magnitudes, judged by the error of all products of this input.
std::vector<float> best_scales(const InputStatistics& input,
                               const EditedWeights& weights,
                               const CalibratedOptions& options) {
    std::vector<float> mean;
    for (Index k = 0; k < input.channels; ++k)
        mean.push_back(static_cast<float>(input.mean_abs(k)));
    std::vector<float> best;
    double least = std::numeric_limits<double>::infinity();
    for (int step = 0; step < 20; ++step) {  // alpha 0, 0.05 ... 0.95
        const std::vector<float> scales = awq_scales(mean, 0.05 * step);
        double error = 0;
        for (const std::string& name : input.tensors) {
            const Tensor w = to_f32(weights.tensor(name));
            const Tensor q = scaled_round(w.view(), scales, options.bits, options.group);
            error += product_error(w.view(), q.view(), input.gram);
        }
        if (error < least) {
            least = error;
            best = scales;
        }
    }
    return best;
}

bool ends_with(const std::string& name, const std::string& end) {
    return name.size() >= end.size() &&
           name.compare(name.size() - end.size(), end.size(), end) == 0;
}

// Queries and keys meet in a product before anything else is done with them.
bool makes_scores(const std::string& tensor) {
    return ends_with(tensor, "attn_q.weight") || ends_with(tensor, "attn_k.weight") ||
           ends_with(tensor, "attn_qkv.weight");
}

}  // namespace

QuantizedWeights quantize_weights(const WeightSource& base,
                                  const WeightCodec& codec,
                                  Rounded which) {
    QuantizedWeights result;
    result.weights = std::make_unique<EditedWeights>(base);
    for (const TensorInfo& info : base.tensors()) {
        if (is_rounded(info, which)) encode_tensor(codec, info, *result.weights);
        base.release(info);
    }
    count_bytes(codec, which, result);
    return result;
}

QuantizedWeights gptq_weights(const WeightSource& base,
                              const TextWindows& text,
                              const CalibratedOptions& options) {
    return calibrated(
        base, text, options, true, [&](const InputStatistics& input, EditedWeights& to) {
            for (const std::string& name : input.tensors)
                to.replace(name, gptq_round(to_f32(to.tensor(name)).view(), input.gram,
                                            options.bits, options.group, options.damping));
        });
}

QuantizedWeights awq_weights(const WeightSource& base,
                             const TextWindows& text,
                             const CalibratedOptions& options) {
    const Config config = Config::from_metadata(base.metadata());
    return calibrated(
        base, text, options, false, [&](const InputStatistics& input, EditedWeights& to) {
            std::vector<float> scales(usize(input.channels), 1.0f);
            const bool absorbed = !ends_with(input.tensors.front(), "attn_output.weight") ||
                                  config.heads == config.kv_heads;
            if (absorbed) scales = best_scales(input, to, options);
            for (const std::string& name : input.tensors) {
                const Tensor w = to_f32(to.tensor(name));
                to.replace(name,
                           options.clip && !makes_scores(name)
                               ? clipped_round(w.view(), scales, input.gram, options.bits,
                                               options.group)
                               : scaled_round(w.view(), scales, options.bits, options.group));
            }
        });
}

}  // namespace kvlab
