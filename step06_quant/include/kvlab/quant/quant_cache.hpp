// quant_cache.hpp - chapter 6: a cache of keys and values in few bits.
//
// It is chapter 3's cache with other tiles: slot = position, every row is rounded once, when it
// comes, and attention goes on in floats. So cached = uncached holds bit for bit, between runs
// that keep the same numbers; against the float cache it must not hold.
#pragma once

#include <vector>

#include <kvlab/attention/kv_store.hpp>
#include <kvlab/attention/kv_tiles.hpp>
#include <kvlab/policies/rotated_tiles.hpp>
#include <kvlab/quant/coded_side.hpp>

namespace kvlab {

struct QuantOptions {
    KvCode keys = KvCode::f32, values = KvCode::f32;
    // Keys and queries are rotated by a Hadamard matrix behind RoPE, values before they are
    // kept and the output back. Refused for a head_dim that is no power of two.
    bool rotate = false;
    // Keys are kept before RoPE, and rotated by it when they are read. Excludes `rotate`: RoPE
    // does not commute with it.
    bool before_rope = false;
    Index sinks = 0;       // first tokens, whose rows stay floats
    Index residual = 128;  // KIVI: tokens that stay f16; a multiple of 32
};

// "kivi4/q8_0 rotated sinks 4": keys, values and what is not usual.
std::string quant_name(const QuantOptions& options);

class QuantCache final : public KvStore {
public:
    // Room for `capacity` tokens. before_rope needs `rope`, which must outlive the cache.
    // Throws Error, naming what does not fit: a code and the head_dim, the head_dim and the
    // rotation, a residual.
    QuantCache(const KvShape& shape,
               Index capacity,
               const QuantOptions& options,
               const RopeTable* rope = nullptr,
               SimdLevel level = default_simd_level());

    const KvShape& shape() const override { return shape_; }

    Index next_position() const override { return length_; }

    Index room() const override { return capacity_ - length_; }

    KeyForm key_form() const override {
        return options_.before_rope ? KeyForm::unrotated : KeyForm::rotated;
    }

    void begin(Index T) override;
    void append(Index layer, const View<const float>& k, const View<const float>& v) override;
    AttentionWork attend(Index layer,
                         const View<const float>& q,
                         const View<float>& out,
                         ThreadPool& pool) override;
    void commit() override;

    // KIVI forgets the f16 of what became codes, so it can go back only as far as none of what
    // waited then is codes now. Throws Error for others.
    void truncate(Index length) override;
    std::unique_ptr<KvStore> fork() const override;
    KvBytes bytes() const override;

    const QuantOptions& options() const { return options_; }

    // One number as the next token will see it, in the form in which it is kept: rotated, or
    // before RoPE. Throws Error unless it is there.
    float key(Index layer, Index kv_head, Index position, Index i) const;
    float value(Index layer, Index kv_head, Index position, Index i) const;

private:
    struct Layer {
        CodedSide keys, values;
    };

    class Reader;

    void append_side(CodedSide& side, const View<const float>& rows);
    View<const float> prepared_queries(const View<const float>& q);
    void check_number(Index layer, Index kv_head, Index position, Index i) const;

    // Fixed at construction.
    KvShape shape_;
    Index capacity_;
    QuantOptions options_;
    const RopeTable* rope_;
    std::shared_ptr<const RotationTable> angles_;  // before_rope only
    SimdLevel level_;
    // As in TileCache.
    Index length_ = 0, pending_ = 0, appended_ = 0;
    std::vector<Layer> layers_;
    std::vector<float> queries_;  // [T, Hq, D] room to rotate in
};

}  // namespace kvlab
