// Attention by hashing (Reformer, Kitaev et al. 2020): a token sees those that fall into the
// same bucket as it. Queries and keys are made of the same vectors u, so that what fits
// together has a small angle, and small angles mostly fall together. A round hashes by a random
// matrix: which of the numbers y = u R and -y is the largest? One bucket shared in any round is
// enough. A token sees itself only if it sees nothing else.
//
// Reformer sorts by bucket and cuts into chunks, to have blocks of equal size; here a bucket is
// whole. A bucket is a list of positions, so finding a token's neighbours does not look at the
// other tokens.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include <kvlab/architectures/grouped_attention.hpp>
#include <kvlab/architectures/list_attention.hpp>
#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

namespace {

constexpr Index kHashSize = 8;  // numbers of a round; it has twice as many buckets

class HashedState final : public MixerState {
public:
    HashedState(Index heads, Index head_dim, Index rounds, const StateOptions& options)
        : level_(options.level),
          rounds_(rounds),
          rows_(heads, head_dim),
          members_(usize(heads * rounds * 2 * kHashSize)) {}

    // Keys and values [T, Hq, D] of the open step, and its tokens' buckets [T, Hq, rounds].
    void write(const View<const float>& k,
               const View<const float>& v,
               std::vector<int> buckets) {
        const Index first = rows_.end(), of_token = rows_.kv_heads() * rounds_;
        rows_.append(k, v);
        for (Index i = 0; i < std::ssize(buckets); ++i)
            bucket(i % of_token, at(buckets, i))
                .push_back(static_cast<std::int32_t>(first + i / of_token));
        step_ = std::move(buckets);
        step_first_ = first;
    }

    AttentionWork attend(ThreadPool& pool,
                         const View<const float>& q,
                         Index position,
                         const View<float>& out) const {
        const auto list = [this](Index head, Index t, std::vector<Index>& to) {
            list_neighbours(head, t, to);
        };
        return attend_lists(level_, pool, rows_, list, q, position, out);
    }

    void closed(Index) override { step_.clear(); }

    void dropped(Index length) noexcept override {
        rows_.drop(length);
        for (auto& list : members_)
            while (!list.empty() && list.back() >= length) list.pop_back();
    }

    std::unique_ptr<MixerState> copied() const override {
        auto copy = std::make_unique<HashedState>(rows_.kv_heads(), rows_.head_dim(), rounds_,
                                                  StateOptions{.level = level_});
        copy->rows_ = rows_.copied();
        copy->members_ = members_;
        return copy;
    }

    KvBytes bytes(Index) const override {
        KvBytes bytes{rows_.held_bytes(), rows_.allocated_bytes()};
        for (const auto& list : members_) {
            bytes.logical += std::ssize(list) * Index{sizeof(std::int32_t)};
            bytes.allocated += static_cast<Index>(list.capacity() * sizeof(std::int32_t));
        }
        return bytes;
    }

private:
    using Members = std::vector<std::int32_t>;  // of a bucket: positions, increasing

    // hashing: head * rounds + round.
    Members& bucket(Index hashing, int number) {
        return at(members_, hashing * 2 * kHashSize + number);
    }

    // ANCHOR: neighbours
    // A mark for each position, since a token may be met in several rounds; reading the marks
    // in order gives each of them once, and sorted.
    void list_neighbours(Index head, Index t, std::vector<Index>& list) const {
        thread_local std::vector<std::uint64_t> marks;
        marks.assign(usize(t / 64 + 1), 0);
        for (Index round = 0; round < rounds_; ++round) {
            const Index hashing = head * rounds_ + round;
            const int number =
                at(step_, (t - step_first_) * rows_.kv_heads() * rounds_ + hashing);
            const Members& all = at(members_, hashing * 2 * kHashSize + number);
            for (const std::int32_t s : all) {  // increasing; later tokens of the step follow
                if (s >= t) break;
                at(marks, s / 64) |= std::uint64_t{1} << (s % 64);
            }
        }
        for (Index word = 0; word < std::ssize(marks); ++word)
            for (std::uint64_t left = at(marks, word); left != 0; left &= left - 1)
                list.push_back(word * 64 + std::countr_zero(left));
        if (list.empty()) list.push_back(t);
    }

    // ANCHOR_END: neighbours

    SimdLevel level_;
    Index rounds_;
    KeptRows rows_;
    std::vector<Members> members_;  // [Hq, rounds, 2 * 8]
    // Of the open step: buckets [T, Hq, rounds], and its first position.
    std::vector<int> step_;
    Index step_first_ = 0;
};

class HashedAttention final : public LinearMixer {
public:
    static std::vector<MixerTensor> tensors(const MixerPlan& plan);
    static std::unique_ptr<Mixer> load(const MixerPlan& plan,
                                       TensorLoader& load,
                                       const std::string& prefix);

    HashedAttention(const Config& c,
                    Tensor hash,
                    std::unique_ptr<Matrix> in,
                    std::unique_ptr<Matrix> out)
        : LinearMixer(std::move(in), std::move(out)), config_(c), hash_(std::move(hash)) {}

    std::unique_ptr<MixerState> make_state(const StateOptions& options) const override {
        return std::make_unique<HashedState>(config_.heads, config_.head_dim, rounds(),
                                             options);
    }

    AttentionWork remember(const MixerCall& call,
                           const View<float>& rows,
                           const View<float>& mixed) const override {
        const Index T = rows.dim(0), H = config_.heads, D = config_.head_dim;
        auto& state = static_cast<HashedState&>(*at(call.states, call.layer));
        const View<float> u(rows.data(), {T, H, D}, {rows.dim(1), D, 1});
        const View<float> v(rows.data() + H * D, {T, H, D}, {rows.dim(1), D, 1});
        Tensor k({T, H, D});
        std::vector<int> buckets;
        for (Index t = 0; t < T; ++t)
            for (Index h = 0; h < H; ++h) {
                for (Index round = 0; round < rounds(); ++round)
                    buckets.push_back(bucket_of(&u(t, h, 0), round));
                const float norm = std::sqrt(dot(&u(t, h, 0), &u(t, h, 0), D));
                const float divisor = norm > 1e-6f ? norm : 1e-6f;
                for (Index i = 0; i < D; ++i) k(t, h, i) = u(t, h, i) / divisor;
            }
        rotate_step(call, call.rope, k.view(), 1.0f);
        rotate_step(call, call.rope, u, log2e_over(std::sqrt(static_cast<double>(D))));
        state.write(k.view(), v, std::move(buckets));
        return state.attend(call.pool, u, call.position, {mixed.data(), {T, H, D}});
    }

    Index state_bytes(Index length) const override {
        // SOLUTION-BEGIN 8.1
        return length * config_.heads *
               (2 * config_.head_dim * Index{sizeof(float)} +
                rounds() * Index{sizeof(std::int32_t)});
        // SOLUTION-END 8.1
    }

    Index weight_bytes() const override {
        return LinearMixer::weight_bytes() + hash_.size() * Index{sizeof(float)};
    }

private:
    Index rounds() const { return hash_.dim(0); }

    // ANCHOR: bucket
    // The place of the largest of y and -y; of equal ones the first.
    int bucket_of(const float* u, Index round) const {
        float both[2 * kHashSize];
        for (Index e = 0; e < kHashSize; ++e) {
            const float y = dot(u, 1, hash_.data() + round * config_.head_dim * kHashSize + e,
                                kHashSize, config_.head_dim);
            both[e] = y;
            both[kHashSize + e] = -y;
        }
        return static_cast<int>(argmax(both));
    }

    // ANCHOR_END: bucket

    Config config_;
    Tensor hash_;  // [rounds, D, 8]
};

Index rounds_of(const MixerPlan& plan) {
    return plan.number("rounds", 1, 64);
}

std::vector<MixerTensor> HashedAttention::tensors(const MixerPlan& plan) {
    const Index C = plan.config.dim, width = plan.config.heads * plan.config.head_dim;
    return {{"attn_qk", {width, C}},
            {"attn_v", {width, C}},
            {"hash", {rounds_of(plan), plan.config.head_dim, kHashSize}, -1.0f, 1.0f},
            {"attn_output", {C, width}}};
}

std::unique_ptr<Mixer> HashedAttention::load(const MixerPlan& plan,
                                             TensorLoader& load,
                                             const std::string& prefix) {
    const Config& c = plan.config;
    const Index width = c.heads * c.head_dim;
    auto in = load.stacked(prefix, {{"attn_qk", width}, {"attn_v", width}}, c.dim);
    return std::make_unique<HashedAttention>(
        c, load.floats(prefix + "hash.weight", {rounds_of(plan), c.head_dim, kHashSize}),
        std::move(in), load.matrix(prefix + "attn_output.weight", c.dim, width));
}

constexpr const char* kHashedKeys[] = {"rounds"};

constexpr MixerEntry kHashed[] = {{
    .place = 40,
    .name = "lsh",
    .idea = "attention to the tokens that a hash puts into the same bucket",
    .paper = "Kitaev et al. 2020",
    .tensors = HashedAttention::tensors,
    .load = HashedAttention::load,
    .keys = kHashedKeys,
}};

}  // namespace

std::span<const MixerEntry> mixers_of_lsh() {
    return kHashed;
}

}  // namespace kvlab
