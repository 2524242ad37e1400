// indexer_cache.hpp - chapter 5: keep everything, read the best tokens. DeepSeek's sparse
// attention (DeepSeek-AI 2025, DeepSeek-V3.2, section 2.1): a lightning indexer gives every
// token s a score for the query at t,
//   I(t, s) = sum over its heads j of w(t, j) ReLU(q(t, j) . k(s)),
// and attention reads the k tokens with the largest ones: one set for all heads of the layer.
//
// DeepSeek's indexer is trained: 64 heads of its own queries, one key of 128 numbers for each
// token, in FP8, and weights from the hidden state. Nobody trained one for the models here, so
// the model's own queries and keys stand in for it: j runs over the query heads, with weight 1,
// and k(s) is the key of j's KV head, after RoPE, as whole numbers of 8 bits with one scale:
//   D + 4 bytes of each token and KV head, an eighth of its key and value,
// which are held beside them and all read for every token. DeepSeek-V3.2 chooses for the
// queries of a prompt as well; here a step of several tokens reads all, as with Quest.
#pragma once

#include <cstdint>
#include <vector>

#include <kvlab/attention/kv_tiles.hpp>
#include <kvlab/policies/policies.hpp>
#include <kvlab/policies/policy_store.hpp>
#include <kvlab/tensor/memory.hpp>
#include <kvlab/tensor/simd_level.hpp>

namespace kvlab {

// The keys of one layer in 8 bits, laid out as KvTiles has them.
class IndexKeys {
public:
    IndexKeys(Index slots, Index kv_heads, Index head_dim);

    // Of a slot and KV head: codes round(k / scale) with scale = max |k| / 127.
    void write(Index kv_head, Index slot, std::span<const float> key);

    // What a key's number is read as.
    float key(Index kv_head, Index slot, Index i) const;

    // Adds ReLU(q . k) to the score of each of the 64 slots of a tile.
    void score(Index kv_head, Index tile, std::span<const float> q, float* scores) const;

    static Index slot_bytes(Index head_dim) { return head_dim + Index{sizeof(float)}; }

    Index allocated_bytes() const;

    void copy_from(const IndexKeys& same);

private:
    const std::int8_t* codes_of(Index kv_head, Index slot) const;

    Index tiles_, head_dim_;
    Memory codes_;   // [Hkv, tiles, D, 64] of 8 bits
    Tensor scales_;  // [Hkv, tiles, 64]
};

class IndexerCache final : public PolicyStore {
public:
    // tokens_to_keep() of those seen are read.
    IndexerCache(const KvShape& shape,
                 Index capacity,
                 const PolicyOptions& options,
                 SimdLevel level = default_simd_level());

    KvBytes bytes() const override;
    std::vector<Index> kept(Index layer, Index kv_head) const override;  // all

    // The slots that a token's query heads q [Hq, D] read of the first `slots`, in order: those
    // with the largest scores, and of equal ones the earlier.
    std::vector<Index> chosen(Index layer, const View<const float>& q, Index slots) const;

private:
    struct Layer {
        KvTiles tiles;
        IndexKeys index;
    };

    void write_rows(Index layer,
                    const View<const float>& k,
                    const View<const float>& v) override;
    AttentionWork attend_rows(Index layer,
                              const View<const float>& q,
                              const View<float>& out,
                              ThreadPool& pool) override;
    std::unique_ptr<SteppedStore> copied() const override;

    void score_tile(const Layer& layer, const View<const float>& q, Index tile) const;
    void choose(const Layer& layer,
                const View<const float>& q,
                Index slots,
                ThreadPool& pool) const;

    // Fixed at construction.
    PolicyOptions options_;
    SimdLevel level_;
    std::vector<Layer> layers_;  // [L]
    // Scratch memory of a choice, kept so that tokens allocate nothing.
    mutable std::vector<float> scores_;
    mutable std::vector<Index> chosen_;
};

}  // namespace kvlab
