#include <kvlab/kvcache/naive_cache.hpp>

#include <kvlab/attention/attention.hpp>

namespace kvlab {

NaiveCache::NaiveCache(const KvShape& shape, Index capacity)
    : shape_((check_kv_shape("naive cache", shape), shape)),
      capacity_(capacity),
      keys_(static_cast<std::size_t>(shape.layers)),
      values_(keys_.size()) {
    check(capacity > 0, "naive cache: room for ", capacity, " tokens");
}

// ANCHOR: naive
void NaiveCache::append(Index layer, const View<const float>& k, const View<const float>& v) {
    check_shape(k, {pending_, shape_.kv_heads, shape_.head_dim}, "naive cache: k");
    check_shape(v, k.shape(), "naive cache: v");
    check(layer >= 0 && layer < shape_.layers, "naive cache: no layer ", layer);
    std::vector<float>& keys = keys_[static_cast<std::size_t>(layer)];
    std::vector<float>& values = values_[static_cast<std::size_t>(layer)];
    check(holds(layer, length_), "naive cache: layer ", layer, " has the rows of this step");
    for (Index t = 0; t < pending_; ++t)
        for (Index h = 0; h < shape_.kv_heads; ++h)
            for (Index i = 0; i < shape_.head_dim; ++i) {
                keys.push_back(k(t, h, i));
                values.push_back(v(t, h, i));
            }
}

AttentionWork NaiveCache::attend(Index layer,
                                 const View<const float>& q,
                                 const View<float>& out,
                                 ThreadPool&) {
    check_attend("naive cache", shape_, pending_,
                 holds(layer, length_ + pending_) ? layer + 1 : 0, layer, q, out);
    const Index D = shape_.head_dim, group = shape_.heads / shape_.kv_heads;
    const float* keys = keys_[static_cast<std::size_t>(layer)].data();
    const float* values = values_[static_cast<std::size_t>(layer)].data();
    AttentionWork work;
    for (Index t = 0; t < pending_; ++t)
        for (Index h = 0; h < shape_.heads; ++h) {
            const Index S = length_ + t + 1;    // all before this step, and up to itself
            const Index first = h / group * D;  // of its KV head, in every row
            const View<const float> k(keys + first, {S, D}, {row(), 1, 0, 0}),
                v(values + first, {S, D}, {row(), 1, 0, 0});
            attend_one(pending_, q[t][h], k, v, out[t][h]);
            work.pairs += S;
        }
    const Index token = 2 * row() * Index{sizeof(float)};
    work.bytes_read = (length_ + pending_) * token;
    work.bytes_written = pending_ * token;
    return work;
}

void NaiveCache::commit() {
    for (Index layer = 0; layer < shape_.layers; ++layer)
        check(pending_ > 0 && holds(layer, length_ + pending_),
              "naive cache: a step ends without the rows of layer ", layer);
    length_ += pending_;
    pending_ = 0;
}

// ANCHOR_END: naive

void NaiveCache::attend_one(Index,
                            const View<const float>& q,
                            const View<const float>& k,
                            const View<const float>& v,
                            const View<float>& out) const {
    attention_plain(q, k, v, out);
}

bool NaiveCache::holds(Index layer, Index tokens) const {
    return layer >= 0 && layer < shape_.layers &&
           static_cast<Index>(keys_[static_cast<std::size_t>(layer)].size()) == tokens * row();
}

void NaiveCache::drop_behind(Index length) {
    for (auto* lists : {&keys_, &values_})
        for (std::vector<float>& list : *lists)
            list.resize(static_cast<std::size_t>(length * row()));
}

void NaiveCache::begin(Index T) {
    check(T >= 1 && T <= room(), "naive cache: a step of ", T, " tokens, room for ", room());
    drop_behind(length_);  // what a step that was never committed has left
    pending_ = T;
}

void NaiveCache::truncate(Index length) {
    check(length >= 0 && length <= length_, "naive cache: cannot truncate ", length_, " to ",
          length);
    drop_behind(length);
    length_ = length;
    pending_ = 0;
}

std::unique_ptr<KvStore> NaiveCache::fork() const {
    auto copy = std::make_unique<NaiveCache>(shape_, capacity_);
    copy->take_committed(*this);
    return copy;
}

void NaiveCache::take_committed(const NaiveCache& other) {
    keys_ = other.keys_;
    values_ = other.values_;
    length_ = other.length_;
    drop_behind(length_);  // without the open step
}

KvBytes NaiveCache::bytes() const {
    KvBytes bytes{length_ * shape_.layers * 2 * row() * Index{sizeof(float)}, 0};
    for (const auto* lists : {&keys_, &values_})
        for (const std::vector<float>& list : *lists)
            bytes.allocated += static_cast<Index>(list.capacity() * sizeof(float));
    return bytes;
}

}  // namespace kvlab
