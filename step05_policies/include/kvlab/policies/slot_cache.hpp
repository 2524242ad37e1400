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

#include <kvlab/attention/attention.hpp>
#include <kvlab/policies/policy.hpp>
#include <kvlab/policies/policy_store.hpp>
#include <kvlab/policies/rotated_tiles.hpp>
#include <kvlab/policies/slot_tiles.hpp>

namespace kvlab {

// How the shares of the query heads of a group become one.
enum class Reduce { mean, max, sum };

// absolute: keys are kept rotated, each at its own place in the text.
// relative: keys are kept unrotated; a key is rotated by its rank among the slots held, the
//   query by the rank behind them, so that no angle ever leaves what the model was trained for.
enum class PositionScheme { absolute, relative };

struct SlotCacheOptions {
    Reduce reduce = Reduce::mean;
    PositionScheme scheme = PositionScheme::absolute;
    // Tokens of the prompt, behind which a policy that evicts once does so; 0: the first step.
    Index prompt = 0;
    MakeSlotTiles make_tiles = make_float_slots;  // how rows are kept
};

class SlotCache final : public PolicyStore {
public:
    // Room for `capacity` slots per layer and KV head, the open step included; of a policy that
    // evicts once: for a text of so many tokens. `rope` is needed for the relative scheme and
    // must outlive the cache. Throws Error for a shape that cannot be, unless capacity is 1 to
    // 2^24, and for the relative scheme with tiles that turn rows.
    SlotCache(const KvShape& shape,
              Index capacity,
              std::shared_ptr<const Policy> policy,
              const SlotCacheOptions& options = {},
              const RopeTable* rope = nullptr,
              SimdLevel level = default_simd_level());

    const KvShape& shape() const override { return shape_; }

    Index next_position() const override { return seen_; }

    Index room() const override;

    KeyForm key_form() const override {
        return options_.scheme == PositionScheme::absolute ? KeyForm::rotated
                                                           : KeyForm::unrotated;
    }

    void begin(Index T) override;
    void append(Index layer, const View<const float>& k, const View<const float>& v) override;
    AttentionWork attend(Index layer,
                         const View<const float>& q,
                         const View<float>& out,
                         ThreadPool& pool) override;

    // Evicts: whatever a step sees, it sees before anything goes.
    void commit() override;

    // What was evicted cannot come back, and a share once added cannot be taken away. So any
    // length works while nothing was evicted and the policy observes no shares; otherwise only
    // 0 and the present length. Throws Error for others.
    void truncate(Index length) override;
    std::unique_ptr<KvStore> fork() const override;

    // Logical: keys, values, positions (4 bytes a slot; as much for ranks) and state (4 bytes a
    // row and slot) of the slots held. The state is kept twice, so that a step that fails
    // leaves no trace; allocated counts both.
    KvBytes bytes() const override;

    std::vector<Index> kept(Index layer, Index kv_head) const override;

    Index held(Index layer) const { return layers_.at(static_cast<std::size_t>(layer)).held; }

    const Policy& policy() const { return *policy_; }

    // Tokens of the prompt: as the cache was told, else of the first step.
    Index prompt() const { return options_.prompt > 0 ? options_.prompt : prompt_; }

    // The same in slot order, and the policy's state of these slots.
    std::span<const std::int32_t> slot_positions(Index layer, Index kv_head) const;
    std::span<const float> state(Index layer, Index kv_head, Index row) const;

private:
    class Reader;

    struct Layer {
        std::unique_ptr<SlotTiles> tiles;
        Index held = 0;                       // committed slots
        std::vector<std::int32_t> positions;  // [Hkv, slots]
        std::vector<std::int32_t> ranks;      // [Hkv, slots], relative scheme only
        std::vector<float> state, next;       // [Hkv, state_rows, slots]; of the open step

        Index slots() const { return tiles == nullptr ? 0 : tiles->slots(); }
    };

    HeadSlots head_slots(Layer& layer, Index index, Index kv_head, Index slots) const;
    Index steady_slots(const Layer& layer, Index index) const;
    void resize(Layer& layer, Index slots);
    void prepare_state(Layer& layer, Index index);
    template <class Change>
    View<const float> changed_queries(const View<const float>& q, Change change);
    AttentionWork attend_turned(Layer& layer,
                                const View<const float>& q,
                                const View<float>& out,
                                ThreadPool& pool,
                                ShareReader* reader);
    AttentionWork attend_relative(Layer& layer,
                                  const View<const float>& q,
                                  const View<float>& out,
                                  ThreadPool& pool,
                                  ShareReader* reader);
    bool ends_prompt() const;
    void evict(Layer& layer, Index index, Index keep);
    void choose_victims(const HeadSlots& head, Index count);
    void drop_victims(Layer& layer, Index kv_head);
    void update_ranks(Layer& layer, Index kv_head);
    void move_slot(Layer& layer, Index kv_head, Index from, Index to);

    // Fixed at construction.
    KvShape shape_;
    Index capacity_;
    std::shared_ptr<const Policy> policy_;
    SlotCacheOptions options_;
    const RopeTable* rope_;
    std::shared_ptr<const RotationTable> angles_;  // relative scheme only
    SimdLevel level_;
    // Changed by commit() and truncate().
    Index seen_ = 0, prompt_ = 0;
    bool evicted_ = false, done_ = false;  // anything, ever; a policy that evicts once has
    std::vector<Layer> layers_;
    // The open step: its tokens, the layers with rows, the layers whose shares were observed.
    Index pending_ = 0, appended_ = 0, observed_ = 0;
    // Room to work in, kept so that tokens allocate nothing.
    std::vector<float> ratings_, shares_, rotated_queries_;
    std::vector<Index> victims_, by_position_;
};

}  // namespace kvlab
