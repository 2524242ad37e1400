// row_attention.hpp - chapter 2: attention over one layer's rows, in any form they are kept in.
//
//   keys and values are kept   the queries before     a tile of keys, when read   the output
//   after RoPE                 as they come           as it lies                  as it is
//   before RoPE                RoPE, then scaled      RoPE                        as it is
//   turned by a matrix H       times H                as it lies                  times H
//
// Since (H q) . (H k) = q . k, turning changes no score. Since H H = 1, turning the weighted
// sum of turned values once more gives the sum of the values themselves.
#pragma once

#include <memory>
#include <vector>

#include <kvlab/attention/attention.hpp>
#include <kvlab/attention/rotated_tiles.hpp>

namespace kvlab {

// Which tokens lie in the slots that a step attends to.
struct SlotPlaces {
    Index past = 0;      // slots before the step's first token
    Index position = 0;  // of the step's first token
    // Before RoPE only: the angle of the step's first token, and of each slot of each KV head
    // [Hkv, slots]; without ranks, a slot's angle is its number.
    Index angle = 0;
    std::span<const std::int32_t> ranks = {};
};

// What a store needs for it: the angles as far as they are used, and scratch memory, so that
// tokens allocate nothing.
class RowAttention {
public:
    // `rope` says that keys are kept before RoPE, and must outlive this; null: after it. Throws
    // Error, in the name of `store`, for a table without positions.
    RowAttention(const char* store, SimdLevel level, const RopeTable* rope);

    bool rotates() const { return rope_ != nullptr; }

    KeyForm key_form() const { return rotates() ? KeyForm::unrotated : KeyForm::rotated; }

    // Throws Error for rows that are turned and rotated, too: the two do not commute.
    void check_form(const LayerRows& rows) const;

    // From now on there are angles [0, count).
    void reach(Index count);

    // Attention of the queries [T, Hq, D] of a step whose rows are there. `work.bytes_*` count
    // rows as they are kept.
    AttentionWork attend(ThreadPool& pool,
                         const View<const float>& q,
                         LayerRows& rows,
                         const SlotPlaces& places,
                         const View<float>& out,
                         ShareReader* reader = nullptr);

private:
    View<const float> prepared(const View<const float>& q, const LayerRows& rows, Index angle);
    AttentionWork attend_tokens(ThreadPool& pool,
                                const View<const float>& q,
                                const LayerRows& rows,
                                const SlotPlaces& places,
                                const View<float>& out,
                                ShareReader* reader) const;

    const char* store_;
    SimdLevel level_;
    const RopeTable* rope_;
    std::shared_ptr<const RotationTable> angles_;
    std::vector<float> queries_;  // [T, Hq, D]
};

}  // namespace kvlab
