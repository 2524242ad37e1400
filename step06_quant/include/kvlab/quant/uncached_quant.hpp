// uncached_quant.hpp - chapter 6: what a quantised cache has to equal in every bit: attention
// without a cache over rows that went through a format and back. Written for the eye, not for
// speed: each token builds every row that it sees anew, from the formats' plain functions.
#pragma once

#include <kvlab/attention/stepped_store.hpp>
#include <kvlab/quant/coded_rows.hpp>
#include <kvlab/tensor/rope.hpp>

namespace kvlab {

// Rows [S, D] of one KV head as the token at position S - 1 sees them: the drawing in
// coded_side.hpp, row by row.
// `sketch`: as in round_trip().
Tensor seen_rows(const Tensor& rows,
                 Format format,
                 bool keys,
                 Index sinks,
                 Index residual,
                 const SignSketch* sketch = nullptr);

// Remembers nothing between steps: every step brings the whole text.
class UncachedQuant final : public SteppedStore {
public:
    // Texts of at most `context` tokens. before_rope needs `rope`, which must outlive this.
    // Throws Error for what a cache with such rows refuses, too.
    UncachedQuant(const KvShape& shape,
                  Index context,
                  const QuantOptions& options,
                  const RopeTable* rope = nullptr);

    bool remembers() const override { return false; }

    KeyForm key_form() const override {
        return options_.before_rope ? KeyForm::unrotated : KeyForm::rotated;
    }

    // Attention of the tokens before is not asked for, and not computed: their rows of the
    // output stay as they are.
    void ask_from(Index first) { first_ = first; }

    KvBytes bytes() const override { return {}; }

private:
    void write_rows(Index layer,
                    const View<const float>& k,
                    const View<const float>& v) override;
    AttentionWork attend_rows(Index layer,
                              const View<const float>& q,
                              const View<float>& out,
                              ThreadPool& pool) override;
    std::unique_ptr<SteppedStore> copied() const override;
    Tensor copy(const View<const float>& rows) const;
    void attend_one(Index t,
                    Index kv_head,
                    const View<const float>& q,
                    const View<float>& out) const;

    QuantOptions options_;
    const RopeTable* rope_;
    RowTurn turn_;
    SignSketch sketch_;
    Index first_ = 0;
    Tensor keys_, values_;  // [T, Hkv, D] of the last layer that was appended
};

}  // namespace kvlab
