// mini_cache.hpp - chapter 5: two layers in the memory of one. MiniCache (Liu et al. 2024,
// 2405.14366, section 4): neighbouring layers of the deeper half point keys and values in
// similar directions. So of each pair of layers one direction is kept, and both lengths:
//
//   angle O between the unit vectors a (lower layer) and b (upper layer), e of length 1:
//   e = (sin((1 - t) O) a + sin(t O) b) / sin(O)      restored: |x_lower| e  and  |x_upper| e
//
// Tokens whose keys differ most in direction are retained: they stay as they are, in both
// layers. Which these are, the paper leaves open. Its threshold is d < d_min + gamma (d_max -
// d_min) with gamma = 0.05; if d is an angular distance, as it is called, that retains the
// tokens that are most alike, and so d would have to be a similarity. Nor does a threshold say
// how many tokens it retains. Here it is a share of them, the 5 % whose keys have the largest
// angle, as in KVCache-Factory; a token's value is retained with its key.
//
// The paper keeps e and both lengths. Here x = |x_lower| e is kept, with the one factor
// f = |x_upper| / |x_lower|: the lower layer is read as it lies, the upper one as f x, a tile
// at a time; and what the lower layer retains lies in x's own place. One number and one
// vector less to keep, and half of the multiplications.
#pragma once

#include <vector>

#include <kvlab/attention/kv_tiles.hpp>
#include <kvlab/policies/policies.hpp>
#include <kvlab/policies/policy_store.hpp>
#include <kvlab/tensor/simd_level.hpp>

namespace kvlab {

// The direction above, D numbers; the straight way between a and b where they are nearly
// parallel or opposite. 0 if both vectors are 0.
void merged_direction(std::span<const float> lower,
                      std::span<const float> upper,
                      double t,
                      std::span<float> direction);

class MiniCache final : public PolicyStore {
public:
    // Pairs of layers from options.merge_from on, a rest of one layer stays whole. Of each KV
    // head the share options.retained of the tokens, rounded up, is not merged: a step retains
    // as many as that asks for, those that differ most among its own. Throws Error unless
    // 0 <= direction, retained <= 1.
    MiniCache(const KvShape& shape,
              Index capacity,
              const PolicyOptions& options,
              SimdLevel level = default_simd_level());

    // Logical, of a pair: for each token one vector and one factor of keys and of values; for
    // those retained their position, and the upper layer's key and value.
    KvBytes bytes() const override;
    std::vector<Index> kept(Index layer, Index kv_head) const override;  // all

    // The positions that a KV head of a merged layer retains; all, of another layer.
    std::vector<Index> retained(Index layer, Index kv_head) const;

    // A number as attention sees it.
    float key(Index layer, Index kv_head, Index position, Index i) const;
    float value(Index layer, Index kv_head, Index position, Index i) const;

private:
    class UpperTiles;

    struct Pair {
        KvTiles lower;  // as its attention reads it, the open step included
        KvTiles open;   // the open step of the upper layer
        std::vector<float> key_factors, value_factors;  // upper over lower length, [Hkv, slots]
        // Of the upper layer: a retained token's key and value in one row, since a tile would
        // give them back column by column, each number from a cache line of its own.
        std::vector<float> retained;  // [Hkv, most, 2 D]
        // Positions that are retained, ascending; the n-th has row n of `retained`.
        std::vector<std::int32_t> positions;  // [Hkv, most]
        // How many of these lie before each tile: a search for it would take longer
        // than the copy.
        std::vector<std::int32_t> before;  // [Hkv, tiles + 1]
        Index most = 0, count = 0;         // rows there is room for; retained, of each KV head

        const std::int32_t* before_tile(Index kv_head, Index tile) const {
            return before.data() + kv_head * (lower.slots() / 64 + 1) + tile;
        }
    };

    void write_rows(Index layer,
                    const View<const float>& k,
                    const View<const float>& v) override;
    AttentionWork attend_rows(Index layer,
                              const View<const float>& q,
                              const View<float>& out,
                              ThreadPool& pool) override;
    void opened(Index T) override;
    // Merges: the tokens of a step are themselves until it ends.
    void closed() override;
    // To 0 or the present length: which tokens a step retains depends on all of them.
    void check_truncate(Index to) const override;
    void dropped(Index to) noexcept override;
    std::unique_ptr<SteppedStore> copied() const override;

    bool is_upper(Index layer) const { return (layer - first_) % 2 == 1; }

    Index pair_of(Index layer) const;  // or -1
    Index retained_of(Index length) const;
    void choose_retained(const Pair& pair, Index kv_head, Index count);
    void merge(Pair& pair);
    void retain_token(Pair& pair, Index kv_head, Index token, Index place) const;
    void merge_token(Pair& pair, Index kv_head, Index token) const;
    void count_before_tiles(Pair& pair) const;
    float number(Index layer, Index kv_head, Index position, Index i, bool key) const;

    // Fixed at construction.
    Index first_;  // the first merged layer
    PolicyOptions options_;
    SimdLevel level_;
    std::vector<KvTiles> whole_;  // [L], empty for merged layers
    std::vector<Pair> pairs_;
    // Scratch memory.
    std::vector<Index> order_;
    std::vector<double> cosines_;
};

}  // namespace kvlab
