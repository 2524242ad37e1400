// A layer that reads the keys and values of an earlier one (cross-layer attention, CLA, Brandon
// et al. 2024; YOCO, Sun et al. 2024): it has queries of its own, and leaves nothing behind.
// kvlab.kv_layer says for each layer whose rows it reads; for one with rows of its own that is
// itself. A token sees what the other layer's rule shows it.
#include <cmath>

#include <kvlab/architectures/grouped_attention.hpp>
#include <kvlab/tensor/numerics.hpp>
#include <kvlab/tensor/text.hpp>

namespace kvlab {

namespace {

class NoState final : public MixerState {
public:
    void dropped(Index) noexcept override {}

    std::unique_ptr<MixerState> copied() const override { return std::make_unique<NoState>(); }

    KvBytes bytes(Index) const override { return {}; }
};

class SharedAttention final : public LinearMixer {
public:
    static std::vector<MixerTensor> tensors(const MixerPlan& plan) {
        const Index q = plan.config.heads * plan.config.head_dim;
        return {{"attn_q", {q, plan.config.dim}}, {"attn_output", {plan.config.dim, q}}};
    }

    static std::unique_ptr<Mixer> load(const MixerPlan& plan,
                                       TensorLoader& load,
                                       const std::string& prefix);

    SharedAttention(const Config& c,
                    Index kv_layer,
                    std::unique_ptr<Matrix> in,
                    std::unique_ptr<Matrix> out)
        : LinearMixer(std::move(in), std::move(out)), config_(c), kv_layer_(kv_layer) {}

    std::unique_ptr<MixerState> make_state(const StateOptions&) const override {
        return std::make_unique<NoState>();
    }

    AttentionWork remember(const MixerCall& call,
                           const View<float>& rows,
                           const View<float>& mixed) const override {
        const Shape heads{rows.dim(0), config_.heads, config_.head_dim};
        const View<float> q(rows.data(), heads);
        rotate_step(call, call.rope, q,
                    log2e_over(std::sqrt(static_cast<double>(config_.head_dim))));
        const auto& read = static_cast<const KvState&>(*at(call.states, kv_layer_));
        AttentionWork work = read.attend(call.pool, q, call.position, {mixed.data(), heads});
        work.bytes_written = 0;
        return work;
    }

    Index state_bytes(Index) const override { return 0; }

private:
    Config config_;
    Index kv_layer_;
};

// The layer that layer `n` of the file reads. Throws Error unless it is itself, or an earlier
// one with rows that can be read.
Index kv_layer_of(const MixerPlan& plan, Index n) {
    const auto layers = plan.metadata.get_i32s("kvlab.kv_layer");
    const auto& mixers = plan.metadata.get_strings("kvlab.mixers");
    const std::string& file = plan.metadata.source();
    check(std::ssize(layers) == plan.config.layers, file,
          ": kvlab.kv_layer: expected one for each of ", plan.config.layers, " layers, found ",
          layers.size());
    const Index read = at(layers, n);
    if (at(mixers, n) != "shared") {
        check(read == n, file, ": kvlab.kv_layer: layer ", n, " is ", quote(at(mixers, n)),
              ", which reads rows of its own, found ", read);
        return n;
    }
    check(read >= 0 && read < n, file, ": kvlab.kv_layer: layer ", n,
          " is 'shared': expected an earlier layer, found ", read);
    check(find_mixer(at(mixers, read)).readable, file, ": kvlab.kv_layer: layer ", n,
          " cannot read layer ", read, ": ", quote(at(mixers, read)),
          " has no keys and values of its own that another layer can read");
    return read;
}

std::unique_ptr<Mixer> SharedAttention::load(const MixerPlan& plan,
                                             TensorLoader& load,
                                             const std::string& prefix) {
    const Config& c = plan.config;
    const Index q = c.heads * c.head_dim;
    for (Index n = 0; n < c.layers; ++n) kv_layer_of(plan, n);
    return std::make_unique<SharedAttention>(
        c, kv_layer_of(plan, plan.layer), load.matrix(prefix + "attn_q.weight", q, c.dim),
        load.matrix(prefix + "attn_output.weight", c.dim, q));
}

constexpr const char* kSharedKeys[] = {"kv_layer"};

constexpr MixerEntry kShared[] = {{
    .place = 21,
    .name = "shared",
    .idea = "attention to the keys and values of an earlier layer",
    .paper = "Brandon et al. 2024, Sun et al. 2024",
    .tensors = SharedAttention::tensors,
    .load = SharedAttention::load,
    .keys = kSharedKeys,
}};

}  // namespace

std::span<const MixerEntry> mixers_of_shared() {
    return kShared;
}

}  // namespace kvlab
