// victims.hpp - chapter 5: which slots of a KV head go, and which slots move into their places.
//
// Both work on numbers of slots alone: what lies in a slot is moved by the cache.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <kvlab/tensor/tensor.hpp>

namespace kvlab {

// The `count` slots with the lowest ratings; of equal ones, those of later tokens. Ascending.
// Throws Error unless 1 <= count <= slots.
void choose_victims(std::span<const float> ratings,           // [slots]
                    std::span<const std::int32_t> positions,  // [slots], in any order
                    Index count,
                    std::vector<Index>& victims);

struct SlotMove {
    Index from, to;
};

// The moves after which the survivors lie in the slots [0, slots - victims): the holes there,
// from the lowest on, are filled with the survivors that lie above, from the lowest on.
void fill_holes(std::span<const Index> victims,  // ascending
                Index slots,
                std::vector<SlotMove>& moves);

}  // namespace kvlab
