// list_attention.hpp - chapter 8: attention of a token over a list of earlier ones.
//
// ANCHOR: list
//   the list, by position   3  4  9 ... 130 | 131 200 ...           sums run along THE LIST, in
//                           <-- 64 tokens -->|<- the next 64 ->     blocks of 64 of its tokens
// ANCHOR_END: list
//
// So the sums do not know what lies between: a store that has forgotten everything else and a
// mask over a full cache give the same bits. A list of all tokens is full attention, bit for
// bit (contract, rule 3).
#pragma once

#include <functional>
#include <span>
#include <vector>

#include <kvlab/architectures/kept_rows.hpp>
#include <kvlab/attention/kv_store.hpp>
#include <kvlab/tensor/simd_level.hpp>

namespace kvlab {

// The definition: one query [D], scaled, over the rows k, v [N, D] of all tokens that `list`
// names, in increasing order. Throws Error for an empty list, one that is out of order, or a
// token that is not there.
void attend_list_plain(const View<const float>& q,
                       const View<const float>& k,
                       const View<const float>& v,
                       std::span<const Index> list,
                       const View<float>& out);  // [D]

// The same at full speed, for the query heads [group, D] that share a KV head and the list.
// Returns the (query head, token) pairs.
Index attend_list(SimdLevel level,
                  const KeptRows& rows,
                  Index kv_head,
                  std::span<const Index> list,
                  const View<const float>& q,  // [group, D]
                  const View<float>& out);     // [group, D]

// Puts the tokens that the one at `position` sees through a KV head into an empty list, in
// increasing order. Is called from several threads.
using ListTokens = std::function<void(Index kv_head, Index position, std::vector<Index>& list)>;

// Each token of a step with a list of its own: queries [T, Hq, D] to out [T, Hq, D].
AttentionWork attend_lists(SimdLevel level,
                           ThreadPool& pool,
                           const KeptRows& rows,
                           const ListTokens& list_tokens,
                           const View<const float>& q,
                           Index position,  // of the step's first token
                           const View<float>& out);

}  // namespace kvlab
