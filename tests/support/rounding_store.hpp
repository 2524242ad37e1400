// rounding_store.hpp - what rows in few bits have to equal: a store of floats that is fed with
// rows which went through the format and back.
#pragma once

#include <memory>
#include <utility>

#include <kvlab/quant/coded_rows.hpp>
#include <kvlab/quant/hadamard.hpp>

namespace kvlab::test {

// Rounds every row to the formats and hands it to a store of floats: what a policy with
// quantised slots has to equal. Rotated rows stay rotated there; queries
// follow, outputs return.
class RoundingStore final : public KvStore {
public:
    RoundingStore(std::unique_ptr<KvStore> inner, const QuantOptions& options)
        : inner_(std::move(inner)),
          options_(options),
          turn_(turn_of(options, inner_->shape().head_dim)) {}

    const KvShape& shape() const override { return inner_->shape(); }

    Index next_position() const override { return inner_->next_position(); }

    Index room() const override { return inner_->room(); }

    KeyForm key_form() const override { return inner_->key_form(); }

    void begin(Index T) override { inner_->begin(T); }

    void append(Index layer, const View<const float>& k, const View<const float>& v) override {
        const Tensor a = rounded(k, options_.keys), b = rounded(v, options_.values->of(false));
        inner_->append(layer, a.view(), b.view());
    }

    AttentionWork attend(Index layer,
                         const View<const float>& q,
                         const View<float>& out,
                         ThreadPool& pool) override {
        const Tensor queries = changed(q, [&](Index, std::span<float> head) { turn(head); });
        const AttentionWork work = inner_->attend(layer, queries.view(), out, pool);
        for (Index t = 0; t < out.dim(0); ++t)
            for (Index h = 0; h < out.dim(1); ++h) turn({&out(t, h, 0), usize(out.dim(2))});
        return work;
    }

    void commit() override { inner_->commit(); }

    void abandon() noexcept override { inner_->abandon(); }

    void truncate(Index length) override { inner_->truncate(length); }

    std::unique_ptr<KvStore> fork() const override {
        return std::make_unique<RoundingStore>(inner_->fork(), options_);
    }

    KvBytes bytes() const override { return inner_->bytes(); }

private:
    void turn(std::span<float> head) const { turn_.apply(head); }

    template <class Change>  // change(t, head)
    static Tensor changed(const View<const float>& rows, Change change) {
        Tensor all(rows.shape());
        for (Index t = 0; t < rows.dim(0); ++t)
            for (Index h = 0; h < rows.dim(1); ++h) {
                for (Index i = 0; i < rows.dim(2); ++i) all(t, h, i) = rows(t, h, i);
                change(t, {&all(t, h, 0), usize(rows.dim(2))});
            }
        return all;
    }

    Tensor rounded(const View<const float>& rows, Format code) const {
        return changed(rows, [&](Index t, std::span<float> head) {
            turn(head);
            if (next_position() + t >= options_.sinks) round_trip(code, head);
        });
    }

    std::unique_ptr<KvStore> inner_;
    QuantOptions options_;
    RowTurn turn_;
};

}  // namespace kvlab::test
