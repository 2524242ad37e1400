// uncached_quant.hpp - chapter 6: what a quantised cache has to equal in every bit: attention
// without a cache over rows that went through a format and back. Written for the eye, not for
// speed: each token builds every row that it sees anew, from the formats' plain functions.
#pragma once

#include <kvlab/quant/quant_cache.hpp>
#include <kvlab/tensor/rope.hpp>

namespace kvlab {

// Rows [S, D] of one KV head as the token at position S - 1 sees them: the drawing in
// coded_side.hpp, row by row.
Tensor seen_rows(const Tensor& rows, KvCode code, bool keys, Index sinks, Index residual);

// Remembers nothing between steps: every step brings the whole text.
class UncachedQuant final : public KvStore {
public:
    // Texts of at most `context` tokens. before_rope needs `rope`, which must outlive this.
    // Throws Error for what QuantCache refuses, too.
    UncachedQuant(const KvShape& shape,
                  Index context,
                  const QuantOptions& options,
                  const RopeTable* rope = nullptr);

    const KvShape& shape() const override { return shape_; }

    Index next_position() const override { return 0; }

    Index room() const override { return context_; }

    bool remembers() const override { return false; }

    KeyForm key_form() const override {
        return options_.before_rope ? KeyForm::unrotated : KeyForm::rotated;
    }

    // Attention of the tokens before is not asked for, and not computed: their rows of the
    // output stay as they are.
    void ask_from(Index first) { first_ = first; }

    void begin(Index T) override;
    void append(Index layer, const View<const float>& k, const View<const float>& v) override;
    AttentionWork attend(Index layer,
                         const View<const float>& q,
                         const View<float>& out,
                         ThreadPool& pool) override;

    void commit() override { T_ = 0; }

    // Nothing is kept, so there is nothing to go back to but the beginning.
    void truncate(Index length) override;
    std::unique_ptr<KvStore> fork() const override;

    KvBytes bytes() const override { return {}; }

private:
    Tensor copy(const View<const float>& rows) const;
    void attend_one(Index t,
                    Index kv_head,
                    const View<const float>& q,
                    const View<float>& out) const;

    KvShape shape_;
    Index context_;
    QuantOptions options_;
    const RopeTable* rope_;
    Index T_ = 0, first_ = 0, layer_ = -1;
    Tensor keys_, values_;  // [T, Hkv, D] of the current layer
};

}  // namespace kvlab
