// list_store.hpp - a store for the cases of chapter 2 that is nothing but lists and loops, so
// that a case about the loop of generation needs no other task. It remembers, or not. It can
// ask for keys before RoPE and leaves them so, which gives another text, without positions.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include <kvlab/attention/kv_store.hpp>

namespace kvlab::course {

class ListStore final : public KvStore {
public:
    ListStore(const KvShape& shape,
              Index capacity,
              bool remembers,
              KeyForm keys = KeyForm::rotated)
        : shape_(shape),
          capacity_(capacity),
          remembers_(remembers),
          keys_(keys),
          layers_(usize(shape.layers)) {}

    const KvShape& shape() const override { return shape_; }

    Index next_position() const override { return length_; }

    Index room() const override { return capacity_ - length_; }

    bool remembers() const override { return remembers_; }

    KeyForm key_form() const override { return keys_; }

    void begin(Index T) override {
        check(T >= 1 && T <= room(), "list store: no room for ", T, " tokens");
        pending_ = T;
    }

    void append(Index layer, const View<const float>& k, const View<const float>& v) override {
        for (Index t = 0; t < pending_; ++t)
            at(layers_, layer).push_back({copy(k[t]), copy(v[t])});
    }

    AttentionWork attend(Index layer,
                         const View<const float>& q,
                         const View<float>& out,
                         ThreadPool&) override {
        for (Index t = 0; t < pending_; ++t)
            for (Index h = 0; h < shape_.heads; ++h)
                one_query(layer, length_ + t + 1, h, q[t][h], out[t][h]);
        return {};
    }

    void commit() override {
        length_ += remembers_ ? pending_ : 0;
        abandon();
    }

    void abandon() noexcept override {
        pending_ = 0;
        for (auto& rows : layers_) rows.resize(usize(length_));
    }

    void truncate(Index length) override {
        length_ = length;
        abandon();
    }

    std::unique_ptr<KvStore> fork() const override { throw Error("list store: no copies"); }

    KvBytes bytes() const override { return {}; }

private:
    struct Row {
        std::vector<float> key, value;  // [Hkv * D]
    };

    static std::vector<float> copy(const View<const float>& row) {
        std::vector<float> numbers;
        for (Index h = 0; h < row.dim(0); ++h)
            for (Index i = 0; i < row.dim(1); ++i) numbers.push_back(row(h, i));
        return numbers;
    }

    void one_query(
        Index layer, Index S, Index h, const View<const float>& q, const View<float>& out) {
        const Index first = h * shape_.kv_heads / shape_.heads * shape_.head_dim;
        std::vector<double> weights;
        double top = -1e300, total = 0;
        for (Index s = 0; s < S; ++s) {
            double score = 0;
            for (Index i = 0; i < q.dim(0); ++i)
                score += static_cast<double>(q(i)) *
                         static_cast<double>(at(at(at(layers_, layer), s).key, first + i));
            weights.push_back(score);
            top = std::max(top, score);
        }
        for (double& weight : weights) total += weight = std::exp2(weight - top);
        for (Index i = 0; i < q.dim(0); ++i) {
            double sum = 0;
            for (Index s = 0; s < S; ++s)
                sum += at(weights, s) *
                       static_cast<double>(at(at(at(layers_, layer), s).value, first + i));
            out(i) = static_cast<float>(sum / total);
        }
    }

    KvShape shape_;
    Index capacity_;
    bool remembers_;
    KeyForm keys_;
    Index length_ = 0, pending_ = 0;
    std::vector<std::vector<Row>> layers_;
};

}  // namespace kvlab::course
