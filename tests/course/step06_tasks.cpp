// Chapter 6's tasks: a group's codes, a rotation, codes in words, NF4, GPTQ, SmoothQuant, and
// products of bytes.
#include <cstring>

#include <kvlab/attention/synthetic.hpp>
#include <kvlab/quant/coded_formats.hpp>
#include <kvlab/quant/gptq.hpp>
#include <kvlab/quant/hadamard.hpp>
#include <kvlab/quant/int8_matrix.hpp>
#include <kvlab/quant/packed_codes.hpp>
#include <kvlab/quant/smooth.hpp>
#include <kvlab/quant/weight_codec.hpp>
#include <kvlab/tensor/numerics.hpp>

#include "task_case.hpp"

using namespace kvlab;

namespace {

using course::Answer;
using course::Given;

std::vector<std::uint32_t> words_of(const Given& given) {
    std::vector<std::uint32_t> words;
    for (const Index word : given.integers("words"))
        words.push_back(static_cast<std::uint32_t>(word));
    return words;
}

// A model of one layer whose first norm, and the matrices that read it, are the question's.
class SmoothedLayer {
public:
    explicit SmoothedLayer(const Given& given)
        : given_(given),
          base_(make_synthetic(config_of(given.tensor("norm").size()), 1)),
          weights_(*base_) {
        for (const auto& [name, tensor] : kTensors)
            weights_.replace(tensor, given.tensor(name));
        set_maxima({"blk.0.attn_q.weight", "blk.0.attn_k.weight", "blk.0.attn_v.weight"},
                   given.floats("largest"));
        set_maxima({"blk.0.ffn_gate.weight", "blk.0.ffn_up.weight"},
                   std::vector<float>(usize(given.tensor("norm").size()), 1.0f));
    }

    void smooth() {
        SmoothOptions options;
        options.alpha = given_.real("alpha");
        options.powers_of_two = given_.number("powers_of_two") == 1;
        kvlab::smooth(weights_, seen_, options);
    }

    Tensor tensor(const char* name) const {
        for (const auto& [short_name, tensor] : kTensors)
            if (std::strcmp(name, short_name) == 0) return to_f32(weights_.tensor(tensor));
        throw Error(concat("there is no tensor ", name));
    }

    // What q makes of an input that is all ones before the norm's weights.
    std::vector<float> product() const {
        const Tensor norm = tensor("norm"), q = tensor("q");
        std::vector<float> y;
        for (Index n = 0; n < q.dim(0); ++n)
            y.push_back(dot(norm.flat().data(), &q(n, 0), norm.size()));
        return y;
    }

private:
    static constexpr std::pair<const char*, const char*> kTensors[] = {
        {"norm", "blk.0.attn_norm.weight"},
        {"q", "blk.0.attn_q.weight"},
        {"k", "blk.0.attn_k.weight"},
        {"v", "blk.0.attn_v.weight"}};

    static Config config_of(Index dim) {
        Config config;
        config.vocab = 16;
        config.dim = dim;
        config.heads = 2;
        config.kv_heads = 1;
        config.head_dim = config.rope_dim = 4;
        config.ffn = 8;
        config.layers = 1;
        config.context = 8;
        return config;
    }

    void set_maxima(std::vector<std::string> readers, std::vector<float> maxima) {
        const auto seen = seen_.open(std::move(readers), std::ssize(maxima));
        seen->max_abs = std::move(maxima);
        seen->rows = 1;
    }

    const Given& given_;
    std::unique_ptr<WeightSource> base_;
    EditedWeights weights_;
    Calibration seen_;
};

}  // namespace

KVLAB_TASK_CASE("6.1 group: codes between the smallest and the largest number") {
    const std::vector<float> x = given.floats("x");
    std::uint8_t codes[kScaleBlock] = {};
    float d = -1.0f, m = -1.0f;
    encode_group(given.number("bits"), x.data(), given.number("stride"), codes, d, m);
    answer.floats("m", std::span(&m, 1));
    answer.floats("d", std::span(&d, 1));
    answer.integers("codes", std::vector<Index>(codes, codes + kScaleBlock));
}

KVLAB_TASK_CASE("6.2 hadamard: sums and differences over the root of their number") {
    std::vector<float> x = given.floats("x");
    hadamard(x);
    answer.floats("turned", x);
    hadamard(x);
    answer.floats("turned back", x);
}

KVLAB_TASK_CASE("6.3 words: a code is written into its bits and no others") {
    std::vector<std::uint32_t> words = words_of(given);
    const std::vector<Index> places = given.integers("places"), codes = given.integers("codes");
    for (std::size_t i = 0; i < places.size(); ++i)
        set_packed_code(reinterpret_cast<std::byte*>(words.data()), given.number("bits"),
                        places[i], static_cast<std::uint8_t>(codes[i]));
    answer.integers("words", std::vector<Index>(words.begin(), words.end()));
}

KVLAB_TASK_CASE("6.3 words: a code is read from its bits and no others") {
    const std::vector<std::uint32_t> words = words_of(given);
    std::vector<Index> codes;
    for (const Index place : given.integers("places"))
        codes.push_back(packed_code(reinterpret_cast<const std::byte*>(words.data()),
                                    given.number("bits"), place));
    answer.integers("codes", codes);
}

KVLAB_TASK_CASE("6.4 nf4: the nearest of sixteen levels and two codes in a byte") {
    const Tensor w = given.tensor("w");
    const std::vector<std::byte> bytes = make_nf4_codec(false)->encode(w.view());
    std::vector<float> largest(usize((w.size() + 63) / 64));
    const std::size_t header = largest.size() * sizeof(float);
    check(bytes.size() >= header, "nf4: ", bytes.size(), " bytes");
    std::memcpy(largest.data(), bytes.data(), header);
    std::vector<Index> codes;
    for (std::size_t i = header; i < bytes.size(); ++i)
        codes.push_back(std::to_integer<Index>(bytes[i]));
    answer.floats("largest", largest);
    answer.integers("bytes", codes);
}

KVLAB_TASK_CASE("6.5 gptq: columns to come make up for each error") {
    const std::vector<float> gram = given.floats("gram");
    const Tensor w = given.tensor("w");
    const Tensor rounded =
        gptq_round(w.view(), std::vector<double>(gram.begin(), gram.end()),
                   static_cast<int>(given.number("bits")), given.number("group"), 0.0);
    answer.floats("rounded", rounded.view());
}

KVLAB_TASK_CASE("6.6 smooth: inputs are divided and columns multiplied by the same scale") {
    SmoothedLayer layer(given);
    layer.smooth();
    for (const char* name : {"norm", "q", "k", "v"})
        answer.floats(name, layer.tensor(name).view());
}

KVLAB_TASK_CASE("6.6 smooth: powers of two change no bit of a product") {
    SmoothedLayer layer(given);
    answer.floats("before", layer.product());
    const Tensor norm = layer.tensor("norm");
    layer.smooth();
    answer.floats("after", layer.product());
    const Tensor smoothed = layer.tensor("norm");
    Index changed = 0;
    for (Index c = 0; c < norm.size(); ++c) changed += norm(c) != smoothed(c) ? 1 : 0;
    answer.number("changed channels", changed);
}

KVLAB_TASK_CASE(
    "6.7 bytes: an exact sum of codes times two scales and the outliers beside it") {
    const Tensor matrix = given.tensor("w"), x = given.tensor("x");
    const TensorInfo info{"w", TensorType::f32, matrix.shape(), std::as_bytes(matrix.flat())};
    const TensorInfo* const parts[] = {&info};
    ThreadPool pool(1);
    const Int8Matrix w(parts, pool);
    Tensor y({x.dim(0), w.outputs()});
    int8_linear_plain(w, x.view(), static_cast<float>(given.real("threshold")), y.view());
    answer.floats("y", y.view());
}
