// Chapter 6's tasks: a group's codes, a rotation, codes in words, NF4, GPTQ, SmoothQuant, and
// products of bytes.
#include <algorithm>
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

// V V^T in double, of an upper triangle V of which each row has as many numbers as `band`,
// from the diagonal on. Numbers that would lie outside of V count for nothing.
std::vector<double> gram_of(const Tensor& band) {  // [K, width]
    const Index K = band.dim(0), width = band.dim(1);
    std::vector<double> gram(usize(K * K));
    for (Index i = 0; i < K; ++i)
        for (Index j = std::max<Index>(0, i - width + 1); j <= i; ++j) {
            double sum = 0;
            for (Index k = i; k < std::min(K, j + width); ++k)
                sum +=
                    static_cast<double>(band(i, k - i)) * static_cast<double>(band(j, k - j));
            at(gram, i * K + j) = at(gram, j * K + i) = sum;
        }
    return gram;
}

// A model of one layer whose first norm, and the matrices that read it, are the question's.
class SmoothedLayer {
public:
    explicit SmoothedLayer(const Given& given)
        : given_(given),
          gpt2_(given.has("bias")),  // whose norms have one
          base_(make_synthetic(config_of(given.tensor("norm").size(), gpt2_), 1)),
          weights_(*base_) {
        std::vector<std::string> readers;
        for (const std::string& name : names()) {
            weights_.replace(full_name(name), given.tensor(name.c_str()));
            if (given.tensor(name.c_str()).rank() == 2) readers.push_back(full_name(name));
        }
        set_maxima(readers, given.floats("largest"));
        readers = {"blk.0.ffn_up.weight"};
        if (!gpt2_) readers.insert(readers.begin(), "blk.0.ffn_gate.weight");
        set_maxima(readers, std::vector<float>(usize(given.tensor("norm").size()), 1.0f));
    }

    std::vector<std::string> names() const {
        if (gpt2_) return {"norm", "bias", "qkv"};
        return {"norm", "q", "k", "v"};
    }

    void smooth() {
        SmoothOptions options;
        options.alpha = given_.real("alpha");
        options.powers_of_two = given_.number("powers_of_two") == 1;
        kvlab::smooth(weights_, seen_, options);
    }

    Tensor tensor(const std::string& name) const {
        return to_f32(weights_.tensor(full_name(name)));
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
    static std::string full_name(const std::string& name) {
        if (name == "norm") return "blk.0.attn_norm.weight";
        if (name == "bias") return "blk.0.attn_norm.bias";
        return concat("blk.0.attn_", name, ".weight");
    }

    static Config config_of(Index dim, bool gpt2) {
        Config config;
        config.vocab = 16;
        config.dim = dim;
        config.heads = 2;
        config.kv_heads = 1;
        config.head_dim = config.rope_dim = 4;
        config.ffn = 8;
        config.layers = 1;
        if (gpt2) {
            config.architecture = Architecture::gpt2;
            config.heads = 1;
            config.head_dim = dim;
        }
        config.context = 8;
        return config;
    }

    void set_maxima(std::vector<std::string> readers, std::vector<float> maxima) {
        const auto seen = seen_.open(std::move(readers), std::ssize(maxima));
        seen->max_abs = std::move(maxima);
        seen->rows = 1;
    }

    const Given& given_;
    bool gpt2_;
    std::unique_ptr<WeightSource> base_;
    EditedWeights weights_;
    Calibration seen_;
};

}  // namespace

KVLAB_TASK_CASE("6.1 group: codes between the smallest and the largest number") {
    const std::vector<float> x = given.floats("x");
    std::uint8_t codes[kScaleBlock];
    std::fill(std::begin(codes), std::end(codes), std::uint8_t{99});
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
    const Tensor w = given.tensor("w");
    const Tensor rounded =
        gptq_round(w.view(), gram_of(given.tensor("band")),
                   static_cast<int>(given.number("bits")), given.number("group"), 0.0);
    answer.floats("rounded", rounded.view());
}

KVLAB_TASK_CASE("6.6 smooth: inputs are divided and columns multiplied by the same scale") {
    SmoothedLayer layer(given);
    layer.smooth();
    for (const std::string& name : layer.names())
        answer.floats(name.c_str(), layer.tensor(name).view());
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
