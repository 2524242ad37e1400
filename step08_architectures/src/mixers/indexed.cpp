// Attention to chosen tokens (DeepSeek-V3.2, DeepSeek-AI 2025): grouped attention with a small
// indexer beside it, which says what is worth a look. Of token s it says to token t
//   I(t, s) = sum over its heads j of w_tj relu(q_tj . k_s)
// with short queries and one short key per token, and t sees the top_k tokens of the largest I:
// of equal ones the earlier. Sums run over them in the order of the text, so a k as large as
// the text is full attention in every bit.
//
// The indexer still looks at every token, with far fewer numbers; nothing is forgotten.
#include <algorithm>
#include <deque>
#include <limits>

#include <kvlab/architectures/grouped_attention.hpp>
#include <kvlab/architectures/list_attention.hpp>
#include <kvlab/tensor/numerics.hpp>
#include <kvlab/tensor/tensor_kernels.hpp>

namespace kvlab {

namespace {

constexpr Index kIndexHeads = 2, kIndexSize = 8;
constexpr Index kIndexWidth = kIndexHeads * kIndexSize + kIndexSize + kIndexHeads;  // q, k, w

// The indexer's keys, [8][64] for each 64 positions.
class ShortKeys {
public:
    // keys [T, 8], behind what is there.
    void append(const View<const float>& keys) {
        for (Index t = 0; t < keys.dim(0); ++t, ++end_) {
            if (end_ / kTile == std::ssize(blocks_))
                blocks_.emplace_back(Shape{kIndexSize, kTile});
            for (Index i = 0; i < kIndexSize; ++i)
                at(blocks_, end_ / kTile)(i, end_ % kTile) = keys(t, i);
        }
    }

    void drop(Index end) noexcept {
        end_ = std::min(end_, end);
        while (std::ssize(blocks_) > (end_ + kTile - 1) / kTile) blocks_.pop_back();
    }

    ShortKeys copied() const {
        ShortKeys copy;
        copy.end_ = end_;
        for (const Tensor& block : blocks_) copy.blocks_.push_back(block.clone());
        return copy;
    }

    // ANCHOR: score
    // I(t, s) of the tokens s < count, in place of what `scores` has. row: q [2, 8], ., w [2].
    void score(SimdLevel level,
               const float* row,
               Index count,
               std::vector<float>& scores) const {
        const float* const w = row + kIndexWidth - kIndexHeads;
        scores.resize(usize((count + kTile - 1) / kTile * kTile));
        for (Index block = 0; block * kTile < count; ++block) {
            alignas(64) float fits[kIndexHeads * kTile];
            tensor_kernels(level).block(kIndexHeads, kIndexSize, row, kIndexSize,
                                        at(blocks_, block).data(), kTile, kTile, fits, kTile,
                                        BlockMode::first);
            for (Index s = 0; s < kTile; ++s) {
                float sum = 0.0f;
                for (Index j = 0; j < kIndexHeads; ++j) {
                    const float fit = fits[j * kTile + s];
                    sum = std::fma(w[j], fit > 0.0f ? fit : 0.0f, sum);
                }
                // A NaN has no order. What it is made of is reported when the step ends.
                scores[usize(block * kTile + s)] =
                    is_finite(sum) ? sum : std::numeric_limits<float>::lowest();
            }
        }
    }

    // ANCHOR_END: score

    Index allocated_bytes() const {
        return std::ssize(blocks_) * kIndexSize * kTile * Index{sizeof(float)};
    }

    Index held_bytes() const { return end_ * kIndexSize * Index{sizeof(float)}; }

private:
    Index end_ = 0;
    std::deque<Tensor> blocks_;
};

class IndexedState final : public KvState {
public:
    IndexedState(Index kv_heads, Index head_dim, Index top_k, const StateOptions& options)
        : level_(options.level), top_k_(top_k), rows_(kv_heads, head_dim) {}

    // The indexer's rows [T, 26] of the open step: queries, key, weights. They must stay.
    void bring(const View<const float>& rows) {
        step_ = rows;
        keys_.append(rows.slice(1, kIndexHeads * kIndexSize, kIndexWidth - kIndexHeads));
    }

    void write(Index, const View<const float>& k, const View<const float>& v) override {
        rows_.append(k, v);
    }

    AttentionWork attend(ThreadPool& pool,
                         const View<const float>& q,
                         Index position,
                         const View<float>& out) const override;

    void closed(Index) override { step_ = {}; }

    void dropped(Index length) noexcept override {
        rows_.drop(length);
        keys_.drop(length);
    }

    std::unique_ptr<MixerState> copied() const override {
        auto copy = std::make_unique<IndexedState>(rows_.kv_heads(), rows_.head_dim(), top_k_,
                                                   StateOptions{.level = level_});
        copy->rows_ = rows_.copied();
        copy->keys_ = keys_.copied();
        return copy;
    }

    KvBytes bytes(Index) const override {
        return {rows_.held_bytes() + keys_.held_bytes(),
                rows_.allocated_bytes() + keys_.allocated_bytes()};
    }

private:
    void choose(Index row, Index count, std::vector<Index>& list) const;

    SimdLevel level_;
    Index top_k_;
    KeptRows rows_;
    ShortKeys keys_;
    View<const float> step_;
};

// ANCHOR: choose
// The positions that the token of a row of the step sees of the first `count`.
void IndexedState::choose(Index row, Index count, std::vector<Index>& list) const {
    list.clear();
    for (Index s = 0; s < count; ++s) list.push_back(s);
    if (count <= top_k_) return;
    thread_local std::vector<float> scores;
    keys_.score(level_, &step_(row, 0), count, scores);
    // SOLUTION-BEGIN 8.3
    std::nth_element(list.begin(), list.begin() + top_k_, list.end(), [&](Index a, Index b) {
        const float x = at(scores, a), y = at(scores, b);
        return x != y ? x > y : a < b;
    });
    list.resize(usize(top_k_));
    std::ranges::sort(list);
    // SOLUTION-END 8.3
}

// ANCHOR_END: choose

// All KV heads see the same tokens, so these are chosen once; of some tokens of the step at a
// time, since of a long prompt all choices would be much memory.
AttentionWork IndexedState::attend(ThreadPool& pool,
                                   const View<const float>& q,
                                   Index position,
                                   const View<float>& out) const {
    constexpr Index kTogether = 64;
    const Index T = q.dim(0);
    std::vector<std::vector<Index>> lists(usize(std::min(T, kTogether)));
    AttentionWork work;
    for (Index first = 0; first < T; first += kTogether) {
        const Index last = std::min(T, first + kTogether), start = position + first;
        pool.run(last - first,
                 [&](Index i) { choose(first + i, start + i + 1, at(lists, i)); });
        const auto list = [&](Index, Index t, std::vector<Index>& to) {
            to = at(lists, t - start);
        };
        const AttentionWork part =
            attend_lists(level_, pool, rows_, list, q.slice(0, first, last), start,
                         out.slice(0, first, last));
        work.pairs += part.pairs;
    }
    const Index index = kIndexSize * Index{sizeof(float)};
    const Index row = 2 * rows_.kv_heads() * rows_.head_dim() * Index{sizeof(float)};
    work.bytes_read = rows_.held_bytes() + keys_.held_bytes();
    work.bytes_written = T * (row + index);
    return work;
}

class IndexedAttention final : public GroupedAttention {
public:
    static std::vector<MixerTensor> tensors(const MixerPlan& plan) {
        std::vector<MixerTensor> all = GroupedAttention::tensors(plan);
        const Index C = plan.config.dim;
        all.push_back({"index_q", {kIndexHeads * kIndexSize, C}});
        all.push_back({"index_k", {kIndexSize, C}});
        all.push_back({"index_w", {kIndexHeads, C}});
        return all;
    }

    static std::unique_ptr<Mixer> load(const MixerPlan& plan,
                                       TensorLoader& load,
                                       const std::string& prefix) {
        const Config& c = plan.config;
        auto all = parts(c);
        all.emplace_back("index_q", kIndexHeads * kIndexSize);
        all.emplace_back("index_k", kIndexSize);
        all.emplace_back("index_w", kIndexHeads);
        return std::make_unique<IndexedAttention>(c, plan.number("top_k", 1, 1 << 24),
                                                  load.stacked(prefix, all, c.dim),
                                                  load_output(c, load, prefix));
    }

    IndexedAttention(const Config& c,
                     Index top_k,
                     std::unique_ptr<Matrix> in,
                     std::unique_ptr<Matrix> out)
        : GroupedAttention(c, std::move(in), std::move(out)), top_k_(top_k) {}

    std::unique_ptr<MixerState> make_state(const StateOptions& options) const override {
        return std::make_unique<IndexedState>(config().kv_heads, config().head_dim, top_k_,
                                              options);
    }

    AttentionWork remember(const MixerCall& call,
                           const View<float>& rows,
                           const View<float>& mixed) const override {
        auto& state = static_cast<IndexedState&>(*at(call.states, call.layer));
        const Index behind = config().qkv_width();
        state.bring(rows.slice(1, behind, behind + kIndexWidth));
        return GroupedAttention::remember(call, rows, mixed);
    }

    Index state_bytes(Index length) const override {
        // SOLUTION-BEGIN 8.1
        return length * (token_bytes() + kIndexSize * Index{sizeof(float)});
        // SOLUTION-END 8.1
    }

private:
    Index top_k_;
};

constexpr const char* kIndexedKeys[] = {"top_k"};

constexpr MixerEntry kIndexed[] = {{
    .place = 41,
    .name = "indexed",
    .idea = "attention to the tokens that a small indexer chooses",
    .paper = "DeepSeek-AI 2025",
    .tensors = IndexedAttention::tensors,
    .load = IndexedAttention::load,
    .keys = kIndexedKeys,
}};

}  // namespace

std::span<const MixerEntry> mixers_of_indexed() {
    return kIndexed;
}

}  // namespace kvlab
