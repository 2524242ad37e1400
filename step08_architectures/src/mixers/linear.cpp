// Linear attention (Katharopoulos et al. 2020): without the softmax, the sum over earlier
// tokens can be taken once and for all. Of each head, with f(x) = x + 1 for x > 0, e^x else:
//   S += f(k) v^T   [D, D]        z += f(k)   [D]        out = S^T f(q) / (f(q) . z)
#include <kvlab/architectures/recurrent.hpp>
#include <kvlab/architectures/registry.hpp>
#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

namespace {

class LinearAttention final : public RecurrentMixer {
public:
    static std::vector<MixerTensor> tensors(const MixerPlan& plan);
    static std::unique_ptr<Mixer> load(const MixerPlan& plan,
                                       TensorLoader& load,
                                       const std::string& prefix);

    LinearAttention(const Config& c, std::unique_ptr<Matrix> in, std::unique_ptr<Matrix> out)
        : RecurrentMixer(std::move(in), std::move(out)), heads_(c.heads), dim_(c.head_dim) {}

    Index state_floats() const override { return heads_ * dim_ * (dim_ + 1); }

    void run(Engine&,
             const StateKernels& kernels,
             std::span<float> state,
             const View<float>& rows,
             const View<float>& mixed) const override {
        const Index D = dim_, width = heads_ * D;
        for (Index t = 0; t < rows.dim(0); ++t) {
            float* row = &rows(t, 0);
            kernels.feature(row, 2 * width, row);  // q and k
            // ANCHOR: token
            for (Index h = 0; h < heads_; ++h) {
                float *S = state.data() + h * D * (D + 1), *z = S + D * D;
                const float *q = row + h * D, *k = q + width, *v = k + width;
                float* out = &mixed(t, h * D);
                // SOLUTION-BEGIN 8.4
                kernels.add_outer(k, v, D, D, S);  // S is [D keys, D values]
                kernels.add(z, k, D, z);
                kernels.ask(q, S, D, D, out);
                const float total = dot(q, z, D);
                for (Index j = 0; j < D; ++j) out[j] = out[j] / total;
                // SOLUTION-END 8.4
            }
            // ANCHOR_END: token
        }
    }

private:
    Index heads_, dim_;
};

std::vector<MixerTensor> LinearAttention::tensors(const MixerPlan& plan) {
    const Index C = plan.config.dim, width = plan.config.heads * plan.config.head_dim;
    return {{"attn_q", {width, C}},
            {"attn_k", {width, C}},
            {"attn_v", {width, C}},
            {"attn_output", {C, width}}};
}

std::unique_ptr<Mixer> LinearAttention::load(const MixerPlan& plan,
                                             TensorLoader& load,
                                             const std::string& prefix) {
    const Config& c = plan.config;
    const Index width = c.heads * c.head_dim;
    auto in =
        load.stacked(prefix, {{"attn_q", width}, {"attn_k", width}, {"attn_v", width}}, c.dim);
    return std::make_unique<LinearAttention>(
        c, std::move(in), load.matrix(prefix + "attn_output.weight", c.dim, width));
}

constexpr MixerEntry kLinearAttention[] = {{
    .place = 60,
    .name = "linear",
    .idea = "a matrix per head, to which each token adds key times value",
    .paper = "Katharopoulos et al. 2020",
    .tensors = LinearAttention::tensors,
    .load = LinearAttention::load,
}};

}  // namespace

std::span<const MixerEntry> mixers_of_linear() {
    return kLinearAttention;
}

}  // namespace kvlab
