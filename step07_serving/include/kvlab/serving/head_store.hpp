// head_store.hpp - chapter 7: the part of a text's cache that one rank keeps: its own KV heads.
//
// The decoder hands over keys and values of all heads, as its activations have them. Of these
// only a rank's own have been computed there. So this store takes them out, and a cache of
// fewer heads keeps them: any kind of cache, since it never learns that there are others.
//
//   decoder        k [T, Hkv, D]            q, out [T, Hq, D]
//                     | | |                    | | | | | |
//   this rank's KV heads: . | .     query heads: . . | | . .
//   inner cache    k [T, 1, D]              q, out [T, 2, D]
//
// A rank without heads keeps nothing and only counts tokens.
#pragma once

#include <functional>
#include <memory>

#include <kvlab/attention/kv_store.hpp>
#include <kvlab/serving/parallel_plan.hpp>

namespace kvlab {

// Makes a cache of this shape.
using MakeRankStore = std::function<std::unique_ptr<KvStore>(const KvShape& shape)>;

// A store for a model of `shape`, of which it keeps the KV heads of this share, in a cache that
// `make` makes for so many heads. It takes at most `capacity` tokens. attend() fills the query
// heads of this share and leaves the others as they are.
std::unique_ptr<KvStore> make_head_store(const KvShape& shape,
                                         const RankShare& share,
                                         Index capacity,
                                         const MakeRankStore& make);

}  // namespace kvlab
