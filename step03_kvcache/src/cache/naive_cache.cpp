#include <kvlab/kvcache/naive_cache.hpp>

#include <kvlab/attention/attention.hpp>

namespace kvlab {

NaiveCache::NaiveCache(const char* name, const KvShape& shape, Index capacity)
    : SteppedStore(name, shape, capacity), keys_(usize(shape.layers)), values_(keys_.size()) {}

// ANCHOR: write_rows
void NaiveCache::write_rows(Index layer,
                            const View<const float>& k,
                            const View<const float>& v) {
    // SOLUTION-BEGIN 3.1
    std::vector<float>&keys = at(keys_, layer), &values = at(values_, layer);
    for (Index t = 0; t < pending(); ++t)
        for (Index h = 0; h < shape().kv_heads; ++h)
            for (Index i = 0; i < shape().head_dim; ++i) {
                keys.push_back(k(t, h, i));
                values.push_back(v(t, h, i));
            }
    // SOLUTION-END 3.1
}

// ANCHOR_END: write_rows

// ANCHOR: attend_rows
AttentionWork NaiveCache::attend_rows(Index layer,
                                      const View<const float>& q,
                                      const View<float>& out,
                                      ThreadPool&) {
    AttentionWork work;
    // SOLUTION-BEGIN 3.1
    const Index D = shape().head_dim, group = shape().heads / shape().kv_heads;
    const float *keys = at(keys_, layer).data(), *values = at(values_, layer).data();
    for (Index t = 0; t < pending(); ++t)
        for (Index h = 0; h < shape().heads; ++h) {
            const Index S = length() + t + 1;   // all before this step, and up to itself
            const Index first = h / group * D;  // of its KV head, in every row
            const View<const float> k(keys + first, {S, D}, {row(), 1, 0, 0}),
                v(values + first, {S, D}, {row(), 1, 0, 0});
            attend_one(q[t][h], k, v, out[t][h]);
            work.pairs += S;
        }
    // SOLUTION-END 3.1
    const Index token = 2 * row() * Index{sizeof(float)};
    work.bytes_read = (length() + pending()) * token;
    work.bytes_written = pending() * token;
    return work;
}

// ANCHOR_END: attend_rows

void NaiveCache::attend_one(const View<const float>& q,
                            const View<const float>& k,
                            const View<const float>& v,
                            const View<float>& out) const {
    attention_plain(q, k, v, out);
}

void NaiveCache::dropped(Index to) noexcept {
    for (auto* lists : {&keys_, &values_})
        for (std::vector<float>& list : *lists)
            list.resize(usize(to * row()));  // shorter: allocates nothing
}

std::unique_ptr<SteppedStore> NaiveCache::copied() const {
    auto copy = std::make_unique<NaiveCache>(shape(), capacity());
    copy->take_rows(*this);
    return copy;
}

void NaiveCache::take_rows(const NaiveCache& other) {
    keys_ = other.keys_;
    values_ = other.values_;
}

KvBytes NaiveCache::bytes() const {
    KvBytes bytes{length() * shape().layers * 2 * row() * Index{sizeof(float)}, 0};
    for (const auto* lists : {&keys_, &values_})
        for (const std::vector<float>& list : *lists)
            bytes.allocated += static_cast<Index>(list.capacity() * sizeof(float));
    return bytes;
}

}  // namespace kvlab
