#include <kvlab/attention/plain_decoder.hpp>

#include <cmath>
#include <utility>

#include <kvlab/attention/architecture.hpp>
#include <kvlab/attention/attention.hpp>
#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

// Biases are empty tensors for llama; gpt2 has wq, wk and wv in one matrix and no gate.
struct PlainDecoder::Layer {
    Tensor attention_norm, attention_norm_bias;
    Tensor wq, wk, wv, bq, bk, bv;  // [Hq D, C], [Hkv D, C], [Hkv D, C]
    Tensor wo, bo;                  // [C, Hq D]
    Tensor ffn_norm, ffn_norm_bias;
    Tensor gate, up, up_bias;  // [F, C]
    Tensor down, down_bias;    // [C, F]
};

namespace {

// Outputs [begin, end) of a matrix or a vector as a tensor of their own.
Tensor part(const Tensor& whole, Index begin, Index end) {
    const Index width = whole.size() / whole.dim(0);
    Tensor piece = whole.rank() == 1 ? Tensor({end - begin}) : Tensor({end - begin, width});
    for (Index i = 0; i < piece.size(); ++i)
        at(piece.flat(), i) = at(whole.flat(), begin * width + i);
    return piece;
}

// y = x w^T + bias; the bias is added after the complete sum (contract, rule 2).
Tensor linear(const View<const float>& x, const Tensor& w, const Tensor& bias) {
    Tensor y({x.dim(0), w.dim(0)});
    matmul_plain(x, w.view(), y.view());
    if (bias.size() > 0)
        for (Index t = 0; t < y.dim(0); ++t)
            for (Index n = 0; n < y.dim(1); ++n) y(t, n) = y(t, n) + bias(n);
    return y;
}

void add_to(Tensor& x, const Tensor& branch) {
    for (std::size_t i = 0; i < x.flat().size(); ++i)
        x.flat()[i] = x.flat()[i] + branch.flat()[i];
}

}  // namespace

PlainDecoder::~PlainDecoder() = default;

PlainDecoder::PlainDecoder(const WeightSource& source) : config_(read_config(source)) {
    const Config& c = config_;
    const auto take = [&](const std::string& name, bool absent = false) {
        if (absent) return Tensor();
        const TensorInfo& info = source.tensor(name);
        Tensor numbers = to_f32(info);
        source.release(info);
        return numbers;
    };
    embedding_ = take("token_embd.weight");
    const bool gpt2 = c.architecture == Architecture::gpt2;
    positions_ = take("position_embd.weight", !gpt2);
    for (Index l = 0; l < c.layers; ++l) {
        const std::string name = concat("blk.", l, ".");
        Layer w;
        w.attention_norm = take(name + "attn_norm.weight");
        w.attention_norm_bias = take(name + "attn_norm.bias", !gpt2);
        if (gpt2) {
            const Tensor qkv = take(name + "attn_qkv.weight"),
                         bias = take(name + "attn_qkv.bias");
            w.wq = part(qkv, 0, c.dim), w.wk = part(qkv, c.dim, 2 * c.dim),
            w.wv = part(qkv, 2 * c.dim, 3 * c.dim);
            w.bq = part(bias, 0, c.dim), w.bk = part(bias, c.dim, 2 * c.dim),
            w.bv = part(bias, 2 * c.dim, 3 * c.dim);
        } else {
            w.wq = take(name + "attn_q.weight"), w.wk = take(name + "attn_k.weight"),
            w.wv = take(name + "attn_v.weight");
            w.gate = take(name + "ffn_gate.weight");
        }
        w.wo = take(name + "attn_output.weight"), w.bo = take(name + "attn_output.bias", !gpt2);
        w.ffn_norm = take(name + "ffn_norm.weight"),
        w.ffn_norm_bias = take(name + "ffn_norm.bias", !gpt2);
        w.up = take(name + "ffn_up.weight"), w.up_bias = take(name + "ffn_up.bias", !gpt2);
        w.down = take(name + "ffn_down.weight"),
        w.down_bias = take(name + "ffn_down.bias", !gpt2);
        layers_.push_back(std::move(w));
    }
    final_weight_ = take("output_norm.weight"), final_bias_ = take("output_norm.bias", !gpt2);
    output_ = c.tied_output ? embedding_.clone() : take("output.weight");
    if (!gpt2) rope_ = RopeTable(c.context, c.rope_dim, c.rope_base);
    keys_.resize(usize(c.layers));
    values_.resize(usize(c.layers));
}

// ANCHOR: embedding
Tensor PlainDecoder::forward(std::span<const Token> tokens) const {
    const Index T = std::ssize(tokens);
    check(T >= 1 && T <= config_.context, "plain decoder: 1 to ", config_.context,
          " tokens, found ", T);
    Tensor x({T, config_.dim});  // the residual stream
    for (Index t = 0; t < T; ++t) {
        const Token token = at(tokens, t);
        check(token >= 0 && token < config_.vocab, "plain decoder: token ", token,
              " is outside of the vocabulary");
        for (Index i = 0; i < config_.dim; ++i)
            x(t, i) = positions_.size() > 0 ? embedding_(token, i) + positions_(t, i)
                                            : embedding_(token, i);
    }
    // ANCHOR_END: embedding
    // ANCHOR: layers
    for (Index l = 0; l < config_.layers; ++l) {
        const Layer& w = at(layers_, l);
        add_to(x, attention(l, norm(x.view(), w.attention_norm, w.attention_norm_bias).view()));
        add_to(x, feed_forward(w, norm(x.view(), w.ffn_norm, w.ffn_norm_bias).view()));
    }
    return linear(norm(x.view(), final_weight_, final_bias_).view(), output_, {});
}

// ANCHOR_END: layers

// ANCHOR: project
Tensor PlainDecoder::attention(Index layer, const View<const float>& normed) const {
    const Config& c = config_;
    const Layer& w = at(layers_, layer);
    const Index T = normed.dim(0), D = c.head_dim;
    Tensor q = linear(normed, w.wq, w.bq), k = linear(normed, w.wk, w.bk),
           v = linear(normed, w.wv, w.bv);
    const float scale = log2e_over(std::sqrt(static_cast<double>(D)));
    for (Index t = 0; t < T; ++t) {
        for (Index h = 0; h < c.heads && rope_.rope_dim() > 0; ++h)
            rope_.rotate(&q(t, h * D), t);
        for (Index h = 0; h < c.kv_heads && rope_.rope_dim() > 0; ++h)
            rope_.rotate(&k(t, h * D), t);
        for (Index i = 0; i < c.heads * D; ++i) q(t, i) = q(t, i) * scale;
    }
    // ANCHOR_END: project
    // ANCHOR: heads
    Tensor mixed({T, c.heads * D});
    const View<const float> keys = std::as_const(k).view(), values = std::as_const(v).view();
    for (Index h = 0; h < c.heads; ++h)
        for (Index t = 0; t < T; ++t)
            attention_plain(std::as_const(q).view()[t].slice(0, h * D, (h + 1) * D),
                            visible_rows(keys, D, c.group(), h, t),
                            visible_rows(values, D, c.group(), h, t),
                            mixed.view()[t].slice(0, h * D, (h + 1) * D));
    at(keys_, layer) = std::move(k);
    at(values_, layer) = std::move(v);
    return linear(mixed.view(), w.wo, w.bo);
}

// ANCHOR_END: heads

// ANCHOR: feed_forward
Tensor PlainDecoder::feed_forward(const Layer& w, const View<const float>& normed) const {
    if (config_.architecture == Architecture::llama)
        return swiglu_plain(normed, w.gate, w.up, w.down);
    Tensor hidden = linear(normed, w.up, w.up_bias);
    for (float& x : hidden.flat()) x = gelu(x);
    return linear(hidden.view(), w.down, w.down_bias);
}

// ANCHOR_END: feed_forward

// ANCHOR: swiglu
Tensor swiglu_plain(const View<const float>& x,
                    const Tensor& gate,
                    const Tensor& up,
                    const Tensor& down) {
    const Index C = x.dim(1), F = gate.dim(0);
    check_shape(gate.view(), {F, C}, "swiglu: gate");
    check_shape(up.view(), {F, C}, "swiglu: up");
    check_shape(down.view(), {C, F}, "swiglu: down");
    // SOLUTION-BEGIN 2.3
    Tensor hidden = linear(x, up, {});
    const Tensor opened = linear(x, gate, {});
    for (std::size_t i = 0; i < hidden.flat().size(); ++i)
        hidden.flat()[i] = silu(opened.flat()[i]) * hidden.flat()[i];
    return linear(hidden.view(), down, {});
    // SOLUTION-END 2.3
}

// ANCHOR_END: swiglu

Tensor PlainDecoder::norm(const View<const float>& x,
                          const Tensor& weight,
                          const Tensor& bias) const {
    Tensor y({x.dim(0), x.dim(1)});
    for (Index t = 0; t < x.dim(0); ++t) {
        if (bias.size() > 0)
            layer_norm(&x(t, 0), weight.data(), bias.data(), config_.norm_eps, x.dim(1),
                       &y(t, 0));
        else
            rms_norm(&x(t, 0), weight.data(), config_.norm_eps, x.dim(1), &y(t, 0));
    }
    return y;
}

}  // namespace kvlab
