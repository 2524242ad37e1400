// plain_decoder.hpp - chapter 2: the whole model as plain loops, the definition of every logit.
//
// Nothing here is fast, packed, threaded or cached. It is what a student reads first, and what
// Decoder must equal in every bit.
#pragma once

#include <span>
#include <vector>

#include <kvlab/attention/config.hpp>
#include <kvlab/tensor/rope.hpp>
#include <kvlab/weights/token.hpp>
#include <kvlab/weights/weight_source.hpp>

namespace kvlab {

// llama's feed-forward part of rows x [T, C]: how far each of the F numbers that `up` makes
// gets through is decided by the one that `gate` makes. Gives [T, C].
Tensor swiglu_plain(const View<const float>& x,
                    const Tensor& gate,   // [F, C]
                    const Tensor& up,     // [F, C]
                    const Tensor& down);  // [C, F]

class PlainDecoder {
public:
    // Takes all tensors out of the source as f32. Throws Error as load_model() does.
    explicit PlainDecoder(const WeightSource& source);
    ~PlainDecoder();

    const Config& config() const { return config_; }

    // Logits [T, V] of every token of a text that starts at position 0. Throws Error for an
    // empty or too long text and for tokens outside of the vocabulary.
    Tensor forward(std::span<const Token> tokens) const;

    // Keys (after RoPE) and values of a layer as the last forward() computed them, both
    // [T, Hkv * D].
    const Tensor& keys(Index layer) const { return at(keys_, layer); }

    const Tensor& values(Index layer) const { return at(values_, layer); }

private:
    struct Layer;
    Tensor attention(Index layer, const View<const float>& normed) const;  // [T, C] -> [T, C]
    Tensor feed_forward(const Layer& w,
                        const View<const float>& normed) const;  // [T, C] -> [T, C]
    Tensor norm(const View<const float>& x, const Tensor& weight, const Tensor& bias) const;

    Config config_;
    Tensor embedding_, positions_, final_weight_, final_bias_, output_;
    std::vector<Layer> layers_;
    RopeTable rope_;
    mutable std::vector<Tensor> keys_, values_;
};

}  // namespace kvlab
