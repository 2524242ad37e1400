// grouped_attention.hpp - chapter 8: what mixers have in common whose tokens leave a key and a
// value per KV head behind. They differ in the state: which rows it keeps, and which of them a
// token sees.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <kvlab/architectures/linear_mixer.hpp>
#include <kvlab/architectures/registry.hpp>

namespace kvlab {

// The memory of keys and values of one text and layer. Other layers may attend to it, too.
class KvState : public MixerState {
public:
    // The rows of the open step, [T, Hkv, D], whose first token is at `position`.
    virtual void write(Index position,
                       const View<const float>& k,
                       const View<const float>& v) = 0;

    // Queries [T, Hq, D] of the open step, scaled, over the rows that their tokens see.
    virtual AttentionWork attend(ThreadPool& pool,
                                 const View<const float>& q,
                                 Index position,
                                 const View<float>& out) const = 0;
};

// Rotates heads [T, heads, D] of a step in place, then times `factor`. With another table than
// the model's, D may be other than its heads'.
void rotate_step(const MixerCall& call,
                 const RopeTable& rope,
                 const View<float>& heads,
                 float factor);

class GroupedAttention : public LinearMixer {
public:
    // attn_q, attn_k, attn_v, attn_output.
    static std::vector<MixerTensor> tensors(const MixerPlan& plan);

    AttentionWork remember(const MixerCall& call,
                           const View<float>& rows,
                           const View<float>& mixed) const override;

    const Config& config() const { return config_; }

protected:
    // in [(Hq + 2 Hkv) D and whatever else the mixer needs, C]: queries, keys, values first.
    GroupedAttention(const Config& config,
                     std::unique_ptr<Matrix> in,
                     std::unique_ptr<Matrix> out)
        : LinearMixer(std::move(in), std::move(out)), config_(config) {}

    // The parts that `in` begins with, and the matrix behind.
    static std::vector<std::pair<std::string, Index>> parts(const Config& config);
    static std::unique_ptr<Matrix> load_output(const Config& config,
                                               TensorLoader& load,
                                               const std::string& prefix);

    // Of one key and value per KV head.
    Index token_bytes() const {
        return 2 * config_.kv_heads * config_.head_dim * Index{sizeof(float)};
    }

private:
    Config config_;
};

}  // namespace kvlab
