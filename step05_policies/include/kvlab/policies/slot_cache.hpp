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
    // Tokens of the prompt, behind which a policy that evicts once does so; 0: the first step.
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

    Index held(Index layer) const { return layers_.at(usize(layer)).held; }

    const Policy& policy() const { return *policy_; }

    // Tokens of the prompt: as the cache was told, else of the first step.
    Index prompt() const { return options_.prompt > 0 ? options_.prompt : prompt_; }

    // The same in slot order, and the policy's state of these slots.
    std::span<const std::int32_t> slot_positions(Index layer, Index kv_head) const;
    std::span<const float> state(Index layer, Index kv_head, Index row) const;

private:
    class JoinedShares;

    SlotCache(const SlotCache& other, Index layers);  // a copy

    struct Layer {
        std::unique_ptr<LayerRows> rows;
        Index held = 0;                       // committed slots
        std::vector<std::int32_t> positions;  // [Hkv, slots]
        std::vector<std::int32_t> ranks;      // [Hkv, slots], relative scheme only
        std::vector<float> state, next;       // [Hkv, state_rows, slots]; of the open step

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

    Index most_held() const;
    // `state` is the layer's, or that of the open step.
    HeadSlots head_slots(const Layer& layer,
                         Index index,
                         Index kv_head,
                         Index slots,
                         std::vector<float>& state) const;
    Index steady_slots(const Layer& layer, Index index) const;
    void resize(Layer& layer, Index slots);
    void prepare_state(Layer& layer, Index index);
    SlotPlaces places(const Layer& layer) const;
    bool ends_prompt() const;
    void evict(Layer& layer, Index index, Index keep);
    void update_ranks(Layer& layer, Index kv_head);
    void move_slot(Layer& layer, Index kv_head, Index from, Index to);

    // Fixed at construction.
    std::shared_ptr<const Policy> policy_;
    SlotCacheOptions options_;
    RowAttention attention_;
    // Changed when a step ends.
    Index prompt_ = 0;
    bool evicted_ = false, done_ = false;  // anything, ever; a policy that evicts once has
    std::vector<Layer> layers_;            // [L]
    // The layers of the open step whose shares were observed.
    Index observed_ = 0;
    // Scratch memory, kept so that tokens allocate nothing.
    std::vector<float> ratings_, shares_;
    std::vector<Index> victims_, by_position_;
    std::vector<SlotMove> moves_;
};

}  // namespace kvlab
