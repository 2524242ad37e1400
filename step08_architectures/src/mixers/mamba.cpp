// Mamba (Gu and Dao 2023): fading sums whose pace the token itself decides. Of each token:
//   u, z = in_proj x;   u = silu(convolution of 4 taps of u, plus conv_b)
//   dt', B [N], C [N] = x_proj u;   dt = softplus(dt_w dt' + dt_b)
//   s[n] = fma(exponential(dt * A[n]), s[n], (dt * u) * B[n])    of each inner channel
//   y = fma(skip, u, sum over n of C[n] * s[n]);   out = out_proj (y * silu(z))
// The state is s [N, inner] and the last three rows of u before the convolution, [3, inner].
// x_proj and dt_w read u, which comes after the convolution of one text: so they are the two
// matrices here that are read once per text, not once per batch.
#include <kvlab/architectures/recurrent.hpp>
#include <kvlab/architectures/registry.hpp>
#include <kvlab/architectures/scratch.hpp>

namespace kvlab {

namespace {

constexpr const char* kMambaKeys[] = {"state_size", "inner", "conv", "dt_rank"};

struct MambaSizes {
    Index inner, states, rank;

    explicit MambaSizes(const MixerPlan& plan)
        : inner(plan.number("inner", 1, 1 << 20)),
          states(plan.number("state_size", 1, 256)),
          rank(plan.number("dt_rank", 1, 1 << 16)) {
        plan.number("conv", 4, 4);
    }
};

class Mamba final : public RecurrentMixer {
public:
    static std::vector<MixerTensor> tensors(const MixerPlan& plan);
    static std::unique_ptr<Mixer> load(const MixerPlan& plan,
                                       TensorLoader& load,
                                       const std::string& prefix);

    Mamba(const MambaSizes& sizes, std::unique_ptr<Matrix> in, std::unique_ptr<Matrix> out)
        : RecurrentMixer(std::move(in), std::move(out)), sizes_(sizes) {}

    Index state_floats() const override { return (sizes_.states + 3) * sizes_.inner; }

    void run(Engine& engine,
             const StateKernels& kernels,
             std::span<float> state,
             const View<float>& rows,
             const View<float>& mixed) const override {
        const Index T = rows.dim(0), n = sizes_.inner, N = sizes_.states, rank = sizes_.rank;
        const Index selected = rank + 2 * N;
        float* tail = state.data() + N * n;
        for (Index t = 0; t < T; ++t) {
            float* u = &rows(t, 0);
            kernels.convolve(taps_.data(), conv_b_.data(), u, n, tail, u);
            kernels.silu(u, n, u);
        }
        const View<float> choice(scratch_floats(T * selected).data(), {T, selected});
        const View<float>& dt = mixed;  // whose place y takes, number by number
        engine.linear(*x_proj_, nullptr, View<float>(rows.data(), {T, n}, {rows.stride(0), 1}),
                      choice);
        engine.linear(*dt_w_, dt_b_.data(),
                      View<float>(choice.data(), {T, rank}, {selected, 1}), dt);
        for (Index t = 0; t < T; ++t) {
            float *u = &rows(t, 0), *z = u + n, *out = &mixed(t, 0);
            const float* B = &choice(t, rank);
            kernels.softplus(&dt(t, 0), n, &dt(t, 0));
            kernels.select(a_.data(), skip_.data(), &dt(t, 0), u, B, B + N, N, n, state.data(),
                           out);
            kernels.silu(z, n, z);
            kernels.multiply(out, z, n, out);
        }
    }

    Index weight_bytes() const override {
        return LinearMixer::weight_bytes() + x_proj_->bytes() + dt_w_->bytes() +
               (sizes_.states + 7) * sizes_.inner * Index{4};
    }

private:
    MambaSizes sizes_;
    std::unique_ptr<Matrix> x_proj_, dt_w_;
    std::vector<float> taps_, a_;  // [4, inner], [N, inner]
    Tensor conv_b_, dt_b_, skip_;  // [inner]
};

std::vector<MixerTensor> Mamba::tensors(const MixerPlan& plan) {
    const MambaSizes s(plan);
    const Index C = plan.config.dim;
    return {
        {"in_proj", {2 * s.inner, C}},
        {.name = "conv_w", .shape = {s.inner, 4}, .low = -0.5f, .high = 0.5f, .between = true},
        {.name = "conv_b", .shape = {s.inner}, .low = -0.1f, .high = 0.1f},
        {"x_proj", {s.rank + 2 * s.states, s.inner}},
        {"dt_w", {s.inner, s.rank}},
        {.name = "dt_b", .shape = {s.inner}, .low = -5.0f, .high = -1.0f},
        {.name = "ssm_a",
         .shape = {s.inner, s.states},
         .low = -8.0f,
         .high = -1.0f,
         .between = true},
        {"skip", {s.inner}},
        {"out_proj", {C, s.inner}}};
}

std::unique_ptr<Mixer> Mamba::load(const MixerPlan& plan,
                                   TensorLoader& load,
                                   const std::string& prefix) {
    const MambaSizes s(plan);
    const Index C = plan.config.dim;
    const auto named = [&](const char* name) { return concat(prefix, name, ".weight"); };
    auto in = load.matrix(named("in_proj"), 2 * s.inner, C);
    auto mixer =
        std::make_unique<Mamba>(s, std::move(in), load.matrix(named("out_proj"), C, s.inner));
    mixer->x_proj_ = load.matrix(named("x_proj"), s.rank + 2 * s.states, s.inner);
    mixer->dt_w_ = load.matrix(named("dt_w"), s.inner, s.rank);
    mixer->taps_ = load_columns(load, named("conv_w"), s.inner, 4);
    mixer->a_ = load_columns(load, named("ssm_a"), s.inner, s.states);
    mixer->conv_b_ = load.floats(named("conv_b"), {s.inner});
    mixer->dt_b_ = load.floats(named("dt_b"), {s.inner});
    mixer->skip_ = load.floats(named("skip"), {s.inner});
    return mixer;
}

constexpr MixerEntry kMamba[] = {{
    .place = 63,
    .name = "mamba",
    .idea = "fading sums per channel, at a pace that the token decides",
    .paper = "Gu and Dao 2023",
    .tensors = Mamba::tensors,
    .load = Mamba::load,
    .keys = kMambaKeys,
}};

}  // namespace

std::span<const MixerEntry> mixers_of_mamba() {
    return kMamba;
}

}  // namespace kvlab
