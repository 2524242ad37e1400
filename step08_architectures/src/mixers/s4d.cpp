// S4D (Gu et al. 2022): every channel is remembered by N complex numbers that turn and shrink
// with each token, whatever it is. Of each token, for the channel's u and its states:
//   re = fma(a_re, re, fma(-a_im, im, u));   im = fma(a_re, im, a_im * re)   (of the old re)
//   y = fma(skip, u, 2 * sum over n of (c_re[n] re[n] - c_im[n] im[n])), two terms for each n
//   out = first half * sigmoid(second half) of glu_w gelu(y)
// The state is [N, 2, C].
#include <kvlab/architectures/recurrent.hpp>
#include <kvlab/architectures/registry.hpp>
#include <kvlab/architectures/scratch.hpp>

namespace kvlab {

namespace {

constexpr const char* kS4dKeys[] = {"state_size"};

class S4d final : public RecurrentMixer {
public:
    static std::vector<MixerTensor> tensors(const MixerPlan& plan);
    static std::unique_ptr<Mixer> load(const MixerPlan& plan,
                                       TensorLoader& load,
                                       const std::string& prefix);

    S4d(Index width, Index states, std::unique_ptr<Matrix> glu)
        : RecurrentMixer(width, std::move(glu)), width_(width), states_(states) {}

    Index state_floats() const override { return 2 * states_ * width_; }

    void run(Engine&,
             const StateKernels& kernels,
             std::span<float> state,
             const View<float>& rows,
             const View<float>& mixed) const override {
        for (Index t = 0; t < rows.dim(0); ++t)
            kernels.turn(a_.data(), c_.data(), skip_.data(), &rows(t, 0), states_, width_,
                         state.data(), &mixed(t, 0));
    }

    void finish(Engine& engine,
                const View<float>& mixed,
                const View<float>& result) const override {
        const StateKernels& kernels = state_kernels(default_simd_level());
        const Index R = mixed.dim(0);
        const View<float> halves(scratch_floats(R * 2 * width_).data(), {R, 2 * width_});
        engine.gelu(mixed, mixed);
        engine.linear(out(), nullptr, mixed, halves);
        for (Index r = 0; r < R; ++r) {
            float* second = &halves(r, width_);
            kernels.sigmoid(second, width_, second);
            kernels.multiply(&halves(r, 0), second, width_, &result(r, 0));
        }
    }

    Index weight_bytes() const override {
        return LinearMixer::weight_bytes() + (4 * states_ + 1) * width_ * Index{4};
    }

private:
    Index width_, states_;
    std::vector<float> a_, c_;  // [N, 2, C]
    Tensor skip_;               // [C]
};

std::vector<MixerTensor> S4d::tensors(const MixerPlan& plan) {
    const Index C = plan.config.dim, N = plan.number("state_size", 1, 256);
    const auto states = [&](const char* name, float low, float high) {
        return MixerTensor{
            .name = name, .shape = {C, N}, .low = low, .high = high, .between = true};
    };
    return {states("a_re", 0.3f, 0.7f),
            states("a_im", -0.6f, 0.6f),
            states("c_re", -0.5f, 0.5f),
            states("c_im", -0.5f, 0.5f),
            {"skip", {C}},
            {"glu_w", {2 * C, C}}};
}

std::unique_ptr<Mixer> S4d::load(const MixerPlan& plan,
                                 TensorLoader& load,
                                 const std::string& prefix) {
    const Index C = plan.config.dim, N = plan.number("state_size", 1, 256);
    auto mixer = std::make_unique<S4d>(C, N, load.matrix(prefix + "glu_w.weight", 2 * C, C));
    const auto complex = [&](const std::string& name) {
        const auto re = load_columns(load, prefix + name + "_re.weight", C, N);
        const auto im = load_columns(load, prefix + name + "_im.weight", C, N);
        std::vector<float> both;
        for (Index n = 0; n < N; ++n) {
            both.insert(both.end(), re.begin() + n * C, re.begin() + (n + 1) * C);
            both.insert(both.end(), im.begin() + n * C, im.begin() + (n + 1) * C);
        }
        return both;
    };
    mixer->a_ = complex("a");
    mixer->c_ = complex("c");
    mixer->skip_ = load.floats(prefix + "skip.weight", {C});
    return mixer;
}

constexpr MixerEntry kS4d[] = {{
    .place = 62,
    .name = "s4d",
    .idea = "fading oscillations per channel, the same for every token",
    .paper = "Gu et al. 2022",
    .tensors = S4d::tensors,
    .load = S4d::load,
    .keys = kS4dKeys,
}};

}  // namespace

std::span<const MixerEntry> mixers_of_s4d() {
    return kS4d;
}

}  // namespace kvlab
