// kv_cache.hpp - chapter 3: keys and values of a text, kept so that each is computed once.
//
// ANCHOR: layout
//   slot      0       1      ...   n-1   |   n      ...    capacity-1
//   layer 0 [ k0 v0 | k1 v1 | ... |      | open step | free ...     ]
//   layer 1 [ k0 v0 | k1 v1 | ... |      | open step | free ...     ]
//     ...                                ^ next_position()
//
//   slot = position, because nothing is ever dropped from the middle
// ANCHOR_END: layout
//
// Keys are kept after RoPE: the angle of a key depends on its own position alone, so
// it never changes.
#pragma once

#include <vector>

#include <kvlab/attention/kv_tiles.hpp>
#include <kvlab/attention/row_attention.hpp>
#include <kvlab/attention/stepped_store.hpp>

namespace kvlab {

class KvCache final : public SteppedStore {
public:
    // Room for `capacity` tokens, every number as it was computed. Throws Error for a shape or
    // a capacity that cannot be, and if this machine has no room for them.
    KvCache(const KvShape& shape, Index capacity, SimdLevel level = default_simd_level());

    // The same with rows that are kept in another way. Those that are kept before RoPE need
    // `rope`, which must outlive the cache.
    KvCache(const KvShape& shape,
            Index capacity,
            const MakeRows& make_rows,
            const RopeTable* rope = nullptr,
            SimdLevel level = default_simd_level());

    KeyForm key_form() const override { return attention_.key_form(); }

    KvBytes bytes() const override;

    // One number as it is kept, to look at and to compare; of rows that differ from token to
    // token, as the next token will see it. Throws Error unless it is there.
    float key(Index layer, Index kv_head, Index position, Index i) const;
    float value(Index layer, Index kv_head, Index position, Index i) const;

private:
    void opened(Index T) override;
    void write_rows(Index layer,
                    const View<const float>& k,
                    const View<const float>& v) override;
    AttentionWork attend_rows(Index layer,
                              const View<const float>& q,
                              const View<float>& out,
                              ThreadPool& pool) override;
    void closed() override;
    void check_truncate(Index to) const override;
    void dropped(Index to) noexcept override;
    std::unique_ptr<SteppedStore> copied() const override;

    KvCache(const KvCache& other, Index tokens);  // a copy of the first tokens

    std::vector<std::unique_ptr<LayerRows>> layers_;  // [L]
    RowAttention attention_;
};

}  // namespace kvlab
