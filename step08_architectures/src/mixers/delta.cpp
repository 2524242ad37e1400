// The gated delta net (Yang et al. 2024): before a value is stored under a key, what the state
// already answers to that key is taken away. Of each token, in this order:
//   q, k, v = silu(convolution of 4 taps of W x)
//   q = (q r) / sqrt(D), k = k r, r = 1 / sqrt(x . x + 1e-6) of each head
//   beta = sigmoid(beta_w x)      fade = exponential(-decay_a * softplus(decay_w x + decay_b))
//   S = fade * S;   d = beta * (v - S^T k);   S += k d^T;   o = S^T q
//   mixed = rms_norm(o of a head, out_norm) * silu(gate_w x)
// The state is S [H, D keys, D values] and the last three rows of W x, [3, 3 H D].
#include <algorithm>
#include <cmath>

#include <kvlab/architectures/recurrent.hpp>
#include <kvlab/architectures/registry.hpp>

namespace kvlab {

namespace {

constexpr const char* kDeltaKeys[] = {"conv"};

class DeltaNet final : public RecurrentMixer {
public:
    static std::vector<MixerTensor> tensors(const MixerPlan& plan);
    static std::unique_ptr<Mixer> load(const MixerPlan& plan,
                                       TensorLoader& load,
                                       const std::string& prefix);

    DeltaNet(const Config& c, std::unique_ptr<Matrix> in, std::unique_ptr<Matrix> out)
        : RecurrentMixer(std::move(in), std::move(out)),
          heads_(c.heads),
          dim_(c.head_dim),
          eps_(c.norm_eps),
          scale_(static_cast<float>(1.0 / std::sqrt(double(c.head_dim)))) {}

    Index state_floats() const override { return heads_ * dim_ * dim_ + 9 * heads_ * dim_; }

    void run(Engine& engine,
             const StateKernels& kernels,
             std::span<float> state,
             const View<float>& rows,
             const View<float>& mixed) const override {
        const Index T = rows.dim(0), D = dim_, width = heads_ * D;
        float* tail = state.data() + width * D;
        for (Index t = 0; t < T; ++t) {
            float *row = &rows(t, 0), *beta = row + 4 * width;
            kernels.convolve(taps_.data(), nullptr, row, 3 * width, tail, row);
            kernels.silu(row, 3 * width, row);
            prepare_gates(kernels, beta);
            for (Index h = 0; h < heads_; ++h)
                head(kernels, state.data() + h * D * D, row + h * D, beta[h], beta[heads_ + h],
                     &mixed(t, h * D));
        }
        const View<float> heads(mixed.data(), {T * heads_, D});
        engine.rms_norm(heads, out_norm_.data(), eps_, heads);
        for (Index t = 0; t < T; ++t) {
            float *gate = &rows(t, 3 * width), *out = &mixed(t, 0);
            kernels.silu(gate, width, gate);
            kernels.multiply(out, gate, width, out);
        }
    }

    Index weight_bytes() const override {
        return LinearMixer::weight_bytes() + (std::ssize(taps_) + 2 * heads_ + dim_) * Index{4};
    }

private:
    // beta [H] and behind it the decays [H], in place.
    void prepare_gates(const StateKernels& kernels, float* beta) const {
        float* decay = beta + heads_;
        kernels.sigmoid(beta, heads_, beta);
        kernels.add(decay, decay_b_.data(), heads_, decay);
        kernels.softplus(decay, heads_, decay);
        kernels.multiply(decay, minus_a_.data(), heads_, decay);
        kernels.exponential(decay, heads_, decay);
    }

    // One token of one head; k and v lie one and two widths behind q. `out` holds d until it
    // holds the answer.
    void head(const StateKernels& kernels,
              float* S,
              float* q,
              float beta,
              float fade,
              float* out) const {
        const Index D = dim_;
        float *k = q + heads_ * D, *v = k + heads_ * D;
        kernels.unit(scale_, D, q);
        kernels.unit(1.0f, D, k);
        // SOLUTION-BEGIN 8.5
        kernels.fade(fade, D, D, S);
        kernels.ask(k, S, D, D, out);
        for (Index j = 0; j < D; ++j) out[j] = beta * (v[j] - out[j]);
        kernels.add_outer(k, out, D, D, S);
        kernels.ask(q, S, D, D, out);
        // SOLUTION-END 8.5
    }

    Index heads_, dim_;
    float eps_, scale_;
    std::vector<float> taps_;               // [4, 3 H D]
    std::vector<float> decay_b_, minus_a_;  // [H]
    Tensor out_norm_;                       // [D]
};

std::vector<MixerTensor> DeltaNet::tensors(const MixerPlan& plan) {
    const Index C = plan.config.dim, H = plan.config.heads, width = H * plan.config.head_dim;
    const auto taps = [&](const char* name) {
        return MixerTensor{
            .name = name, .shape = {width, 4}, .low = -0.5f, .high = 0.5f, .between = true};
    };
    return {{"attn_q", {width, C}},
            {"attn_k", {width, C}},
            {"attn_v", {width, C}},
            taps("conv_q"),
            taps("conv_k"),
            taps("conv_v"),
            {"beta_w", {H, C}},
            {"decay_w", {H, C}},
            {.name = "decay_b", .shape = {H}, .low = -5.0f, .high = -1.0f},
            {.name = "decay_a", .shape = {H}, .low = 1.0f, .high = 8.0f},
            {"out_norm", {plan.config.head_dim}},
            {"gate_w", {width, C}},
            {"attn_output", {C, width}}};
}

std::unique_ptr<Mixer> DeltaNet::load(const MixerPlan& plan,
                                      TensorLoader& load,
                                      const std::string& prefix) {
    const Config& c = plan.config;
    const Index H = c.heads, width = H * c.head_dim;
    plan.number("conv", 4, 4);
    auto in = load.stacked(prefix,
                           {{"attn_q", width},
                            {"attn_k", width},
                            {"attn_v", width},
                            {"gate_w", width},
                            {"beta_w", H},
                            {"decay_w", H}},
                           c.dim);
    auto mixer = std::make_unique<DeltaNet>(
        c, std::move(in), load.matrix(prefix + "attn_output.weight", c.dim, width));
    mixer->taps_.resize(usize(12 * width));
    Index first = 0;
    for (const char* name : {"conv_q", "conv_k", "conv_v"}) {
        const auto taps = load_columns(load, concat(prefix, name, ".weight"), width, 4);
        for (Index j = 0; j < 4; ++j)
            std::copy_n(taps.begin() + j * width, width,
                        mixer->taps_.begin() + j * 3 * width + first);
        first += width;
    }
    const Tensor b = load.floats(prefix + "decay_b.weight", {H});
    const Tensor a = load.floats(prefix + "decay_a.weight", {H});
    mixer->decay_b_.assign(b.flat().begin(), b.flat().end());
    for (const float one : a.flat()) mixer->minus_a_.push_back(-one);
    mixer->out_norm_ = load.floats(prefix + "out_norm.weight", {c.head_dim});
    return mixer;
}

constexpr MixerEntry kDeltaNet[] = {{
    .place = 61,
    .name = "delta",
    .idea = "a matrix per head that fades, and in which a key's value is replaced",
    .paper = "Yang et al. 2024",
    .tensors = DeltaNet::tensors,
    .load = DeltaNet::load,
    .keys = kDeltaKeys,
}};

}  // namespace

std::span<const MixerEntry> mixers_of_delta() {
    return kDeltaNet;
}

}  // namespace kvlab
