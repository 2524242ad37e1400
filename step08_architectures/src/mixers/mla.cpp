// Latent attention (DeepSeek-V2, DeepSeek-AI 2024): a token leaves one short vector c behind,
// from which every head would make its key and its value by matrices of its own. Since
// q . (K c) = (K^T q) . c, the matrices can be taken to the query and to the result instead:
// then attention has one KV head, whose keys are (c, k_r) and whose values are c. k_r, a few
// numbers after RoPE, carries the position, which c, before its matrices, could not.
//
// latent.hpp has the definition. A tile is kept once, as keys; values are read by turning it.
#include <algorithm>
#include <cmath>

#include <kvlab/architectures/grouped_attention.hpp>
#include <kvlab/architectures/scratch.hpp>
#include <kvlab/attention/attention.hpp>
#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

namespace {

// Rows (c, k_r) of one text, [r + dr][64] for each 64 positions, made as they are needed.
class LatentTiles final : public TileReader {
public:
    LatentTiles(Index capacity, Index rank, Index rope_rank)
        : TileReader(capacity, 1, rank + rope_rank), rank_(rank) {}

    // row [r + dr] of the next position.
    void append(std::span<const float> row) {
        if (end_ / kTile == std::ssize(blocks_)) blocks_.emplace_back(Shape{head_dim_, kTile});
        for (Index i = 0; i < head_dim_; ++i)
            at(blocks_, end_ / kTile)(i, end_ % kTile) = at(row, i);
        ++end_;
    }

    void drop(Index end) noexcept {
        end_ = std::min(end_, end);
        while (std::ssize(blocks_) > (end_ + kTile - 1) / kTile) blocks_.pop_back();
    }

    void copy_from(const LatentTiles& other) {
        end_ = other.end_;
        blocks_.clear();
        for (const Tensor& block : other.blocks_) blocks_.push_back(block.clone());
    }

    const float* read_keys(Index, Index tile, float*) const override {
        return at(blocks_, tile).data();
    }

    // ANCHOR: values
    const float* read_values(Index, Index tile, float* scratch) const override {
        const float* const keys = at(blocks_, tile).data();
        for (Index s = 0; s < kTile; ++s) {
            float* const value = scratch + s * padded_dim_;
            for (Index i = 0; i < rank_; ++i) value[i] = keys[i * kTile + s];
            std::fill(value + rank_, value + padded_dim_, 0.0f);
        }
        return scratch;
    }

    // ANCHOR_END: values

    Index slot_bytes() const override { return head_dim_ * Index{sizeof(float)}; }

    Index held_bytes() const { return end_ * slot_bytes(); }

    Index allocated_bytes() const { return std::ssize(blocks_) * kTile * slot_bytes(); }

private:
    Index rank_, end_ = 0;
    std::vector<Tensor> blocks_;
};

struct LatentState final : MixerState {
    LatentState(Index r, Index dr, const StateOptions& made_with)
        : options(made_with), rank(r), rope_rank(dr), tiles(options.capacity, r, dr) {}

    void dropped(Index length) noexcept override { tiles.drop(length); }

    std::unique_ptr<MixerState> copied() const override {
        auto copy = std::make_unique<LatentState>(rank, rope_rank, options);
        copy->tiles.copy_from(tiles);
        return copy;
    }

    KvBytes bytes(Index) const override {
        return {tiles.held_bytes(), tiles.allocated_bytes()};
    }

    StateOptions options;
    Index rank, rope_rank;
    LatentTiles tiles;
};

// The sizes of a file, and their names in sums: D, r, dr.
struct LatentSizes {
    explicit LatentSizes(const MixerPlan& plan)
        : heads(plan.config.heads),
          head_dim(plan.config.head_dim),
          rank(plan.number("kv_rank", 1, AttentionRows::kMaxHeadDim - 2)),
          rope_rank(plan.number("rope_rank", 2, AttentionRows::kMaxHeadDim - rank)) {
        check(rope_rank % 2 == 0, plan.metadata.source(),
              ": kvlab.rope_rank: expected an even number, found ", rope_rank);
    }

    Index query_width() const { return head_dim + rope_rank; }

    Index row_width() const { return rank + rope_rank; }

    Index heads, head_dim, rank, rope_rank;
};

// Tensors that no matrix of the engine holds, and the angles of k_r.
struct LatentWeights {
    Tensor kv_norm;  // [r]
    Tensor k_up;     // [H D, r]
    Tensor v_up;     // [H D, r]
    RopeTable rope;  // of dr numbers
};

class LatentAttention final : public LinearMixer {
public:
    static std::vector<MixerTensor> tensors(const MixerPlan& plan);
    static std::unique_ptr<Mixer> load(const MixerPlan& plan,
                                       TensorLoader& load,
                                       const std::string& prefix);

    LatentAttention(const Config& c,
                    const LatentSizes& sizes,
                    LatentWeights weights,
                    std::unique_ptr<Matrix> in,
                    std::unique_ptr<Matrix> out)
        : LinearMixer(std::move(in), std::move(out)),
          norm_eps_(c.norm_eps),
          sizes_(sizes),
          weights_(std::move(weights)) {}

    std::unique_ptr<MixerState> make_state(const StateOptions& options) const override {
        return std::make_unique<LatentState>(sizes_.rank, sizes_.rope_rank, options);
    }

    AttentionWork remember(const MixerCall& call,
                           const View<float>& rows,
                           const View<float>& mixed) const override;

    Index state_bytes(Index length) const override {
        // SOLUTION-BEGIN 8.1
        return length * sizes_.row_width() * Index{sizeof(float)};
        // SOLUTION-END 8.1
    }

    Index weight_bytes() const override {
        return LinearMixer::weight_bytes() +
               (weights_.kv_norm.size() + weights_.k_up.size() + weights_.v_up.size()) *
                   Index{sizeof(float)};
    }

private:
    void take(const MixerCall& call, const View<float>& rows, LatentState& state) const;
    void absorb(const MixerCall& call,
                const View<float>& rows,
                const View<float>& queries) const;

    float norm_eps_;
    LatentSizes sizes_;
    LatentWeights weights_;
};

// The step's c and k_r, behind the queries of each row, into the state.
void LatentAttention::take(const MixerCall& call,
                           const View<float>& rows,
                           LatentState& state) const {
    const LatentSizes& n = sizes_;
    const Index T = rows.dim(0), first = n.heads * n.query_width();
    rotate_step(call, weights_.rope,
                {rows.data() + first + n.rank, {T, 1, n.rope_rank}, {rows.dim(1), 1, 1}}, 1.0f);
    for (Index t = 0; t < T; ++t) {
        float* const row = &rows(t, first);
        rms_norm(row, weights_.kv_norm.data(), norm_eps_, n.rank, row);
        state.tiles.append({row, usize(n.row_width())});
    }
}

// ANCHOR: absorb
// queries [T, Hq, r + dr]: (K^T q_n, q_r), scaled.
void LatentAttention::absorb(const MixerCall& call,
                             const View<float>& rows,
                             const View<float>& queries) const {
    const LatentSizes& n = sizes_;
    const Index T = rows.dim(0);
    const float scale = log2e_over(std::sqrt(static_cast<double>(n.query_width())));
    call.pool.run(T * n.heads, [&](Index i) {
        const Index t = i / n.heads, h = i % n.heads;
        const float* const q = &rows(t, h * n.query_width());
        const float* const k_up = &weights_.k_up(h * n.head_dim, 0);
        for (Index j = 0; j < n.rank; ++j)
            queries(t, h, j) = dot(q, 1, k_up + j, n.rank, n.head_dim) * scale;
        std::copy_n(q + n.head_dim, n.rope_rank, &queries(t, h, n.rank));
    });
    rotate_step(call, weights_.rope, queries.slice(2, n.rank, n.row_width()), scale);
}

// ANCHOR_END: absorb

AttentionWork LatentAttention::remember(const MixerCall& call,
                                        const View<float>& rows,
                                        const View<float>& mixed) const {
    const LatentSizes& n = sizes_;
    const Index T = rows.dim(0);
    auto& state = static_cast<LatentState&>(*at(call.states, call.layer));
    const Shape heads{T, n.heads, n.row_width()};
    const std::span<float> floats = scratch_floats(2 * heads.size());
    const View<float> queries(floats.data(), heads), means(floats.data() + heads.size(), heads);
    take(call, rows, state);
    absorb(call, rows, queries);
    const AttentionWork work = attend_tiles(state.options.level, call.pool, queries,
                                            state.tiles, call.position, means);
    call.pool.run(T * n.heads, [&](Index i) {
        const Index t = i / n.heads, h = i % n.heads;
        for (Index j = 0; j < n.head_dim; ++j)
            mixed(t, h * n.head_dim + j) =
                dot(&weights_.v_up(h * n.head_dim + j, 0), &means(t, h, 0), n.rank);
    });
    return work;
}

std::vector<MixerTensor> LatentAttention::tensors(const MixerPlan& plan) {
    const LatentSizes n(plan);
    const Index C = plan.config.dim, width = n.heads * n.head_dim;
    std::vector<MixerTensor> all;
    all.push_back({"attn_q", {n.heads * n.query_width(), C}});
    all.push_back({"kv_down", {n.row_width(), C}});
    all.push_back({"kv_norm", {n.rank}});
    all.push_back({"k_up", {width, n.rank}});
    all.push_back({"v_up", {width, n.rank}});
    all.push_back({"attn_output", {C, width}});
    return all;
}

std::unique_ptr<Mixer> LatentAttention::load(const MixerPlan& plan,
                                             TensorLoader& load,
                                             const std::string& prefix) {
    const LatentSizes n(plan);
    const Config& c = plan.config;
    const Index width = n.heads * n.head_dim;
    auto in = load.stacked(
        prefix, {{"attn_q", n.heads * n.query_width()}, {"kv_down", n.row_width()}}, c.dim);
    LatentWeights weights{load.floats(prefix + "kv_norm.weight", {n.rank}),
                          load.floats(prefix + "k_up.weight", {width, n.rank}),
                          load.floats(prefix + "v_up.weight", {width, n.rank}),
                          RopeTable(c.context, n.rope_rank, c.rope_base)};
    return std::make_unique<LatentAttention>(
        c, n, std::move(weights), std::move(in),
        load.matrix(prefix + "attn_output.weight", c.dim, width));
}

constexpr const char* kLatentKeys[] = {"kv_rank", "rope_rank"};

constexpr MixerEntry kLatent[] = {{
    .place = 20,
    .name = "mla",
    .idea = "attention to one short vector per token, which serves all heads",
    .paper = "DeepSeek-AI 2024",
    .tensors = LatentAttention::tensors,
    .load = LatentAttention::load,
    .keys = kLatentKeys,
}};

}  // namespace

std::span<const MixerEntry> mixers_of_mla() {
    return kLatent;
}

}  // namespace kvlab
