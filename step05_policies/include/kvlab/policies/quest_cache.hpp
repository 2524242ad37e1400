// quest_cache.hpp - chapter 5: keep everything, read little. Quest (Tang et al. 2024,
// 2406.10774, section 3): each page of slots has the smallest and the largest value of every
// component of its keys. For a query q,
//   bound(page) = sum over i of max(q_i min_i, q_i max_i)  >=  q . k  for every key k of it,
// so the pages with the largest bounds are the ones worth reading. It saves reads, not memory.
//
// The first two layers are read whole, as in the paper's experiments, since attention is not
// sparse there; options.whole_layers says how many. A model of two layers is read whole, then.
// The newest page, with the token itself, is always one of those read, as in the authors'
// runtime; in their evaluation it has to win its place by its bound, which is
// options.newest_page = false.
//
// Each query head chooses its own pages. A step of several tokens, as a prompt, reads all.
#pragma once

#include <vector>

#include <kvlab/attention/kv_tiles.hpp>
#include <kvlab/policies/policies.hpp>
#include <kvlab/policies/policy_store.hpp>
#include <kvlab/tensor/simd_level.hpp>

namespace kvlab {

// The bound above, in the order of the components.
float page_bound(std::span<const float> q, const float* smallest, const float* largest);

class QuestCache final : public PolicyStore {
public:
    // options.budget tokens, rounded up to pages, are read by each query head; never fewer than
    // three pages. Throws Error unless a tile holds whole pages.
    QuestCache(const KvShape& shape,
               Index capacity,
               const PolicyOptions& options,
               SimdLevel level = default_simd_level());

    KvBytes bytes() const override;
    std::vector<Index> kept(Index layer, Index kv_head) const override;  // all

    // The pages that a query head would read of `slots` slots, in order.
    std::vector<Index> pages(Index layer,
                             Index head,
                             std::span<const float> q,  // [D], as attend() gets it
                             Index slots) const;

private:
    struct Layer {
        KvTiles tiles;
        Tensor smallest, largest;  // [Hkv, pages, D]; empty where all is read
    };

    void write_rows(Index layer,
                    const View<const float>& k,
                    const View<const float>& v) override;
    AttentionWork attend_rows(Index layer,
                              const View<const float>& q,
                              const View<float>& out,
                              ThreadPool& pool) override;
    std::unique_ptr<SteppedStore> copied() const override;

    bool is_whole(Index layer) const { return layer < whole_layers(options_); }

    Index wanted_pages(Index slots) const;
    void summarise_page(Layer& layer, Index kv_head, Index page, Index end) const;
    void choose(const Layer& layer,
                Index kv_head,
                std::span<const float> q,
                Index slots,
                std::vector<Index>& pages) const;
    Index attend_head(const Layer& layer,
                      Index head,
                      const View<const float>& q,
                      const View<float>& out) const;

    // Fixed at construction.
    PolicyOptions options_;
    SimdLevel level_;
    std::vector<Layer> layers_;  // [L]
};

}  // namespace kvlab
