// mixer_rig.hpp - one layer's mixer of a drawn model, driven without the model around it: rows
// in, rows out. So a test can compute the same from the definition.
#pragma once

#include <cmath>
#include <functional>
#include <memory>
#include <vector>

#include <kvlab/architectures/list_attention.hpp>
#include <kvlab/tensor/numerics.hpp>

#include "drawn_mixers.hpp"
#include "random_data.hpp"

namespace kvlab::test {

struct MixerRig {
    DrawnModel description;
    std::unique_ptr<WeightSource> source;
    std::unique_ptr<Engine> engine;
    std::shared_ptr<const MixedModel> model;
    std::vector<std::unique_ptr<MixerState>> states;
    Index length = 0;

    explicit MixerRig(DrawnModel drawn)
        : description(std::move(drawn)),
          source(description.draw()),
          engine(make_cpu_engine({.threads = 2})),
          model(load_mixed_model(*source, *engine)) {
        for (const auto& mixer : model->mixers)
            states.push_back(mixer->make_state({.capacity = description.config.context}));
    }

    const Mixer& mixer() const { return *model->mixers[0]; }

    Tensor rows(Index T, std::uint64_t seed) const {
        return random_tensor({T, mixer().projected_width()}, seed);
    }

    // A step of layer 0. Returns mixed [T, M].
    Tensor step(const Tensor& rows) {
        Tensor own = rows.clone(), mixed({rows.dim(0), mixer().mixed_width()});
        states[0]->opened(rows.dim(0));
        mixer().remember({*engine, engine->pool(), model->frame->rope, length, 0, states},
                         own.view(), mixed.view());
        length += rows.dim(0);
        states[0]->closed(length);
        return mixed;
    }

    // Columns [first, first + count * D) of all rows as heads [T, count, D], after RoPE by
    // `rope` unless null, then times factor.
    Tensor heads(const Tensor& rows,
                 Index first,
                 Index count,
                 Index D,
                 const RopeTable* rope,
                 float factor = 1.0f) const {
        Tensor heads({rows.dim(0), count, D});
        for (Index t = 0; t < rows.dim(0); ++t)
            for (Index h = 0; h < count; ++h) {
                for (Index i = 0; i < D; ++i) heads(t, h, i) = rows(t, first + h * D + i);
                if (rope != nullptr) rope->rotate(&heads(t, h, 0), t);
                for (Index i = 0; i < D; ++i) heads(t, h, i) *= factor;
            }
        return heads;
    }

    float scale() const {
        return log2e_over(std::sqrt(static_cast<double>(description.config.head_dim)));
    }
};

// One head's rows [T, D] of [T, heads, D].
inline View<const float> head_rows(const Tensor& heads, Index head) {
    const Index T = heads.dim(0), H = heads.dim(1), D = heads.dim(2);
    return {heads.data() + head * D, {T, D}, {H * D, 1}};
}

// Attention by the definition, of every token over what list(KV head, t) names: q, k and v
// [T, heads, D] to [T, Hq, D].
inline Tensor attend_all_plain(
    const Tensor& q,
    const Tensor& k,
    const Tensor& v,
    const std::function<std::vector<Index>(Index kv_head, Index t)>& list) {
    Tensor out(q.shape());
    const Index group = q.dim(1) / k.dim(1);
    for (Index t = 0; t < q.dim(0); ++t)
        for (Index h = 0; h < q.dim(1); ++h)
            attend_list_plain(q.view()[t][h], head_rows(k, h / group), head_rows(v, h / group),
                              list(h / group, t), out.view()[t][h]);
    return out;
}

inline bool same_bits(const Tensor& a, const Tensor& b) {
    return std::ranges::equal(a.flat(), b.flat());
}

}  // namespace kvlab::test
