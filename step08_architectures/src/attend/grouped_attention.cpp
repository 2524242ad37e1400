#include <kvlab/architectures/grouped_attention.hpp>

#include <cmath>

#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

void rotate_step(const MixerCall& call,
                 const RopeTable& rope,
                 const View<float>& heads,
                 float factor) {
    thread_local std::vector<Index> positions;
    positions.resize(usize(heads.dim(0)));
    for (Index t = 0; t < heads.dim(0); ++t) at(positions, t) = call.position + t;
    call.engine.rotate(heads, &rope, positions, factor);
}

std::vector<MixerTensor> GroupedAttention::tensors(const MixerPlan& plan) {
    const Config& c = plan.config;
    std::vector<MixerTensor> all;
    const Index q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
    all.push_back({"attn_q", {q, c.dim}});
    all.push_back({"attn_k", {kv, c.dim}});
    all.push_back({"attn_v", {kv, c.dim}});
    all.push_back({"attn_output", {c.dim, q}});
    return all;
}

std::vector<std::pair<std::string, Index>> GroupedAttention::parts(const Config& c) {
    const Index kv = c.kv_heads * c.head_dim;
    return {{"attn_q", c.heads * c.head_dim}, {"attn_k", kv}, {"attn_v", kv}};
}

std::unique_ptr<Matrix> GroupedAttention::load_output(const Config& c,
                                                      TensorLoader& load,
                                                      const std::string& prefix) {
    return load.matrix(prefix + "attn_output.weight", c.dim, c.heads * c.head_dim);
}

AttentionWork GroupedAttention::remember(const MixerCall& call,
                                         const View<float>& rows,
                                         const View<float>& mixed) const {
    const Config& c = config_;
    const Index T = rows.dim(0), D = c.head_dim;
    auto& state = static_cast<KvState&>(*at(call.states, call.layer));
    const auto heads = [&](Index first, Index count) {
        return View<float>(rows.data() + first * D, {T, count, D}, {rows.dim(1), D, 1});
    };
    const View<float> q = heads(0, c.heads), k = heads(c.heads, c.kv_heads),
                      v = heads(c.heads + c.kv_heads, c.kv_heads);
    rotate_step(call, call.rope, q, log2e_over(std::sqrt(static_cast<double>(D))));
    rotate_step(call, call.rope, k, 1.0f);
    state.write(call.position, k, v);
    return state.attend(call.pool, q, call.position,
                        View<float>(mixed.data(), {T, c.heads, D}));
}

}  // namespace kvlab
