// slot_cache.hpp - chapter 5: one storage for every policy that evicts.
//
// ANCHOR: layout
//   of each layer and KV head, with a budget of 6, before and after the 10th token:
//
//   slot         0   1   2   3   4   5  |  6          0   1   2   3   4   5  |  6
//   position   [ 0   1   2   3   7   8 ]| [9]       [ 0   1   9   3   7   8 ]|
//   keys, values, state of the policy   |  new                ^               free
//                                                     slot 2 was rated lowest
//
//   The slots held are always [0, held), without gaps: the last slots move into the holes.
// ANCHOR_END: layout
//
// All heads of a layer hold equally many slots, or, where the policy allots budgets to heads
// (policy.hpp), each its own number: then each has memory of its own, and what is evicted is
// free, to the tile.
//
// So a token that goes costs one copy of one slot, and attention runs on chapter 2's tiles as
// they are. The price: slots are not in the order of the text. Sums run in slot order; nothing
// else looks at it.
#pragma once

#include <memory>
#include <vector>

#include <kvlab/attention/kv_tiles.hpp>
#include <kvlab/attention/row_attention.hpp>
#include <kvlab/policies/policy.hpp>
#include <kvlab/policies/policy_store.hpp>
#include <kvlab/policies/victims.hpp>

namespace kvlab {

// How the shares of the query heads of a group become one.
enum class Reduce { mean, max, sum };

// absolute: a key has the angle of its own place in the text.
// relative: keys are kept before RoPE. A key has the angle of its rank among the slots held,
// the query that of the rank after them, so that no angle leaves those of the training.
enum class PositionScheme { absolute, relative };

struct SlotCacheOptions {
    Reduce reduce = Reduce::mean;
    PositionScheme scheme = PositionScheme::absolute;
    // Tokens of the prompt, behind which a policy that evicts once, or allots, does so; 0: the
    // first step.
    Index prompt = 0;
    MakeRows make_rows = float_rows();
};

class SlotCache final : public PolicyStore {
public:
    // Room for `capacity` slots per layer and KV head, the open step included; of a policy that
    // evicts once: for a text of so many tokens. `rope` is needed for the relative scheme and
    // for rows that are kept before RoPE, and must outlive the cache. Throws Error for a shape
    // that cannot be, unless capacity is 1 to 2^24, for rows whose slots cannot move one by
    // one, and for rows that are turned where keys are rotated when they are read.
    SlotCache(const KvShape& shape,
              Index capacity,
              std::shared_ptr<const Policy> policy,
              const SlotCacheOptions& options = {},
              const RopeTable* rope = nullptr,
              SimdLevel level = default_simd_level());

    Index room() const override;

    KeyForm key_form() const override { return attention_.key_form(); }

    // Logical: keys, values, positions (4 bytes a slot; as much for ranks) and state (4 bytes a
    // row and slot) of the slots held. The state is kept twice, so that a step that fails
    // leaves no trace; allocated counts both.
    KvBytes bytes() const override;

    std::vector<Index> kept(Index layer, Index kv_head) const override;

    Index held(Index layer, Index kv_head) const;

    const Policy& policy() const { return *policy_; }

    // Tokens of the prompt: as the cache was told, else of the first step.
    Index prompt() const { return options_.prompt > 0 ? options_.prompt : prompt_; }

    // Of the policy's state, unless it has dropped it.
    Index state_rows() const { return dropped_ ? 0 : policy_->state_rows(); }

    // The same in slot order, and the policy's state of these slots.
    std::span<const std::int32_t> slot_positions(Index layer, Index kv_head) const;
    std::span<const float> state(Index layer, Index kv_head, Index row) const;

private:
    class JoinedShares;

    SlotCache(const SlotCache& other, Index parts);  // a copy

    // The KV heads of a layer that hold equally many slots: all, or a single one.
    struct Part {
        Index layer = 0, first_head = 0;
        Index budget = Policy::kAll;  // as it was allotted
        std::unique_ptr<LayerRows> rows;
        Index held = 0;                       // committed slots
        std::vector<std::int32_t> positions;  // [heads, slots]
        std::vector<std::int32_t> ranks;      // [heads, slots], relative scheme only
        std::vector<float> state, next;       // [heads, state_rows, slots]; of the open step

        Index heads() const { return rows->kv_heads(); }

        Index slots() const { return rows == nullptr ? 0 : rows->slots(); }
    };

    void opened(Index T) override;
    void write_rows(Index layer,
                    const View<const float>& k,
                    const View<const float>& v) override;
    AttentionWork attend_rows(Index layer,
                              const View<const float>& q,
                              const View<float>& out,
                              ThreadPool& pool) override;
    // Evicts: whatever a step sees, it sees before anything goes.
    void closed() override;
    // What was evicted cannot come back, and a share once added cannot be taken away. So any
    // length works while nothing was evicted and the policy observes no shares; otherwise only
    // 0 and the present length.
    void check_truncate(Index to) const override;
    void dropped(Index to) noexcept override;
    std::unique_ptr<SteppedStore> copied() const override;

    Index heads_of_part() const { return policy_->allots() ? 1 : shape().kv_heads; }

    Index parts_in_layer() const { return shape().kv_heads / heads_of_part(); }

    std::span<Part> parts_of(Index layer);
    const Part& part_of(Index layer, Index kv_head) const;

    // Whether nothing goes before the prompt has ended.
    bool waits() const { return policy_->once() || policy_->allots(); }

    Index most_held() const;
    // `head` is the part's, `state` the part's as well, or that of the open step.
    HeadSlots head_slots(const Part& part,
                         Index head,
                         Index slots,
                         std::vector<float>& state) const;
    Index budget(const Part& part, Index seen) const;
    Index steady_slots(const Part& part) const;
    void resize(Part& part, Index slots);
    void prepare_state(Part& part);
    SlotPlaces places(const Part& part) const;
    AttentionWork attend_part(Part& part,
                              const View<const float>& q,
                              const View<float>& out,
                              ThreadPool& pool,
                              Index first_observed);
    void ask(Part& part, const View<const float>& q);
    bool ends_prompt() const;
    void allot(Index seen);
    void evict(Part& part, Index keep);
    void forget(Part& part, Index head, std::span<const float> ratings, Index keep);
    void update_ranks(Part& part, Index head);
    void move_slot(Part& part, Index head, Index from, Index to);

    // Fixed at construction.
    std::shared_ptr<const Policy> policy_;
    SlotCacheOptions options_;
    RowAttention attention_;
    // Changed when a step ends.
    Index prompt_ = 0;
    bool evicted_ = false, done_ = false;  // anything, ever; the policy that waits has
    bool dropped_ = false;                 // the state, which is of no use any more
    std::vector<Part> parts_;              // [L], or [L, Hkv] of a policy that allots
    // The layers of the open step whose shares were observed.
    Index observed_ = 0;
    // Scratch memory, kept so that tokens allocate nothing.
    std::vector<float> ratings_, shares_;
    std::vector<Index> victims_, by_position_;
    std::vector<SlotMove> moves_;
};

}  // namespace kvlab
