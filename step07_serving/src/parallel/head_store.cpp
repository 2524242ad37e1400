#include <kvlab/serving/head_store.hpp>

#include <kvlab/attention/stepped_store.hpp>

namespace kvlab {

namespace {

// Of a rank without heads.
class NoHeads final : public SteppedStore {
public:
    NoHeads(const KvShape& shape, Index capacity)
        : SteppedStore("store without heads", shape, capacity) {}

    KvBytes bytes() const override { return {}; }

private:
    void write_rows(Index, const View<const float>&, const View<const float>&) override {}

    AttentionWork attend_rows(Index,
                              const View<const float>&,
                              const View<float>&,
                              ThreadPool&) override {
        return {};
    }

    std::unique_ptr<SteppedStore> copied() const override {
        return std::make_unique<NoHeads>(shape(), capacity());
    }
};

class HeadStore final : public KvStore {
public:
    HeadStore(const KvShape& shape, Range kv_heads, Range heads, std::unique_ptr<KvStore> inner)
        : shape_(shape), kv_heads_(kv_heads), heads_(heads), inner_(std::move(inner)) {}

    const KvShape& shape() const override { return shape_; }

    Index next_position() const override { return inner_->next_position(); }

    Index room() const override { return inner_->room(); }

    KeyForm key_form() const override { return inner_->key_form(); }

    bool host_memory() const override { return inner_->host_memory(); }

    bool remembers() const override { return inner_->remembers(); }

    void begin(Index T) override { inner_->begin(T); }

    // ANCHOR: heads
    void append(Index layer, const View<const float>& k, const View<const float>& v) override {
        inner_->append(layer, of(k, shape_.kv_heads, kv_heads_),
                       of(v, shape_.kv_heads, kv_heads_));
    }

    AttentionWork attend(Index layer,
                         const View<const float>& q,
                         const View<float>& out,
                         ThreadPool& pool) override {
        return inner_->attend(layer, of(q, shape_.heads, heads_), of(out, shape_.heads, heads_),
                              pool);
    }

    // ANCHOR_END: heads

    void commit() override { inner_->commit(); }

    void abandon() noexcept override { inner_->abandon(); }

    void truncate(Index length) override { inner_->truncate(length); }

    std::unique_ptr<KvStore> fork() const override {
        return std::make_unique<HeadStore>(shape_, kv_heads_, heads_, inner_->fork());
    }

    KvBytes bytes() const override { return inner_->bytes(); }

private:
    // These heads of rows [T, count, D].
    template <class Rows>
    static Rows of(const Rows& rows, Index count, Range heads) {
        check(rows.rank() == 3 && rows.dim(1) == count, "head store: expected rows of ", count,
              " heads, found ", rows.shape());
        return rows.slice(1, heads.first, heads.end());
    }

    KvShape shape_;
    Range kv_heads_, heads_;
    std::unique_ptr<KvStore> inner_;
};

}  // namespace

std::unique_ptr<KvStore> make_head_store(const KvShape& shape,
                                         const RankShare& share,
                                         Index capacity,
                                         const MakeRankStore& make) {
    check_kv_shape("head store", shape);
    const Index group = shape.heads / shape.kv_heads;
    check(share.kv_heads.end() <= shape.kv_heads &&
              share.heads == Range{share.kv_heads.first * group, share.kv_heads.count * group},
          "head store: this share is of another model");
    if (share.kv_heads.count == 0) return std::make_unique<NoHeads>(shape, capacity);
    KvShape own = shape;
    own.kv_heads = share.kv_heads.count;
    own.heads = share.heads.count;
    std::unique_ptr<KvStore> inner = make(own);
    check(inner != nullptr && inner->shape() == own, "head store: expected a cache of ",
          own.kv_heads, " KV heads");
    return std::make_unique<HeadStore>(shape, share.kv_heads, share.heads, std::move(inner));
}

}  // namespace kvlab
