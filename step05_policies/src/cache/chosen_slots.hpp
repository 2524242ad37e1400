// chosen_slots.hpp - chapter 5: attention over some of a KV head's slots.
#pragma once

#include <span>

#include <kvlab/attention/kv_tiles.hpp>
#include <kvlab/tensor/simd_level.hpp>

namespace kvlab {

// One query [D] over chosen pages of `page` slots, in slot order, into out [D]. They hold
// `seen` slots: all but the last page are full.
void attend_chosen(SimdLevel level,
                   const KvTiles& tiles,
                   Index kv_head,
                   Index page,
                   std::span<const Index> pages,  // ascending
                   Index seen,
                   std::span<const float> query,
                   float* out);

}  // namespace kvlab
