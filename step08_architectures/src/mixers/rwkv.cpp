// RWKV-4's time mixing (Peng et al. 2023): per channel one weighted mean of all values, whose
// weights fade with distance. Of each token, with x' the token before (zeros before the first):
//   m_j = fma(mu_j, x, (1 - mu_j) * x')   for j = k, v, r
//   k = attn_k m_k;   v = attn_v m_v;   r = sigmoid(attn_r m_r)
//   y = the mean, with the state's a, b and p as StateKernels::mean says
//   out = attn_output (r * y)
// The state is a, b, p and x', [4, C]. The three matrices read x', so they are read once per
// text, not once per batch.
#include <algorithm>
#include <cmath>

#include <kvlab/architectures/recurrent.hpp>
#include <kvlab/architectures/registry.hpp>
#include <kvlab/architectures/scratch.hpp>

namespace kvlab {

namespace {

// An exponent below all others: its e^p is 0.
constexpr float kNothing = -1e30f;

class Rwkv final : public RecurrentMixer {
public:
    static std::vector<MixerTensor> tensors(const MixerPlan& plan);
    static std::unique_ptr<Mixer> load(const MixerPlan& plan,
                                       TensorLoader& load,
                                       const std::string& prefix);

    Rwkv(Index width, std::unique_ptr<Matrix> out)
        : RecurrentMixer(width, std::move(out)), width_(width) {}

    Index state_floats() const override { return 4 * width_; }

    void begin(std::span<float> state) const override {
        const auto p = state.subspan(usize(2 * width_), usize(width_));
        std::fill(p.begin(), p.end(), kNothing);
    }

    void run(Engine& engine,
             const StateKernels& kernels,
             std::span<float> state,
             const View<float>& rows,
             const View<float>& mixed) const override {
        const Index T = rows.dim(0), C = width_;
        float* before = state.data() + 3 * C;
        const std::span<float> floats = scratch_floats(3 * T * C);
        const auto part = [&](Index i) {
            return View<float>(floats.data() + i * T * C, {T, C});
        };
        // k, v and r of all tokens, r where the results will lie.
        const View<float> results[] = {part(0), part(1), mixed}, shifted = part(2);
        for (Index j = 0; j < 3; ++j) {
            for (Index t = 0; t < T; ++t) {
                const float *x = &rows(t, 0), *last = t == 0 ? before : &rows(t - 1, 0);
                shift(at(mu_, j), x, last, &shifted(t, 0));
            }
            engine.linear(*at(in_, j), nullptr, shifted, results[j]);
        }
        std::copy_n(&rows(T - 1, 0), C, before);
        for (Index t = 0; t < T; ++t) {
            float *k = &results[0](t, 0), *v = &results[1](t, 0), *r = &mixed(t, 0);
            kernels.mean(decay_.data(), bonus_.data(), k, v, C, state.data(), k);
            kernels.sigmoid(r, C, r);
            kernels.multiply(r, k, C, r);
        }
    }

    Index weight_bytes() const override {
        Index bytes = LinearMixer::weight_bytes() + 5 * width_ * Index{4};
        for (const auto& matrix : in_) bytes += matrix->bytes();
        return bytes;
    }

private:
    void shift(const Tensor& mu, const float* x, const float* last, float* y) const {
        const float* share = mu.data();
        for (Index i = 0; i < width_; ++i)
            y[i] = std::fma(share[i], x[i], (1.0f - share[i]) * last[i]);
    }

    Index width_;
    std::vector<std::unique_ptr<Matrix>> in_;  // k, v, r
    std::vector<Tensor> mu_;                   // of each, [C]
    Tensor decay_, bonus_;                     // [C]
};

std::vector<MixerTensor> Rwkv::tensors(const MixerPlan& plan) {
    const Index C = plan.config.dim;
    const auto share = [&](const char* name) {
        return MixerTensor{.name = name, .shape = {C}, .low = 0.0f, .high = 1.0f};
    };
    return {{"attn_k", {C, C}},
            {"attn_v", {C, C}},
            {"attn_r", {C, C}},
            share("mu_k"),
            share("mu_v"),
            share("mu_r"),
            {.name = "decay", .shape = {C}, .low = 0.01f, .high = 2.0f},
            {.name = "bonus", .shape = {C}, .low = -1.0f, .high = 1.0f},
            {"attn_output", {C, C}}};
}

std::unique_ptr<Mixer> Rwkv::load(const MixerPlan& plan,
                                  TensorLoader& load,
                                  const std::string& prefix) {
    const Index C = plan.config.dim;
    const auto named = [&](const std::string& name) { return prefix + name + ".weight"; };
    auto mixer = std::make_unique<Rwkv>(C, load.matrix(named("attn_output"), C, C));
    for (const char* j : {"k", "v", "r"}) {
        mixer->in_.push_back(load.matrix(named(concat("attn_", j)), C, C));
        mixer->mu_.push_back(load.floats(named(concat("mu_", j)), {C}));
    }
    mixer->decay_ = load.floats(named("decay"), {C});
    mixer->bonus_ = load.floats(named("bonus"), {C});
    return mixer;
}

constexpr MixerEntry kRwkv[] = {{
    .place = 64,
    .name = "rwkv",
    .idea = "a weighted mean per channel, whose weights fade with distance",
    .paper = "Peng et al. 2023",
    .tensors = Rwkv::tensors,
    .load = Rwkv::load,
}};

}  // namespace

std::span<const MixerEntry> mixers_of_rwkv() {
    return kRwkv;
}

}  // namespace kvlab
