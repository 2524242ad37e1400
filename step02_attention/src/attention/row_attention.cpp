#include <kvlab/attention/row_attention.hpp>

#include <algorithm>
#include <cmath>

#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

RowAttention::RowAttention(const char* store, SimdLevel level, const RopeTable* rope)
    : store_(store), level_(level), rope_(rope) {
    check(rope == nullptr || rope->positions() > 0, store,
          ": keys before RoPE need a model with RoPE");
}

void RowAttention::check_form(const LayerRows& rows) const {
    check(!rotates() || !rows.turns(), store_,
          ": keys that are rotated when they are read cannot be kept turned");
}

void RowAttention::reach(Index count) {
    if (rotates()) angles_ = reaching(angles_, *rope_, count);
}

// ANCHOR: prepared
// Queries as the keys are: at their angles and scaled, or turned.
View<const float> RowAttention::prepared(const View<const float>& q,
                                         const LayerRows& rows,
                                         Index angle) {
    if (!rotates() && !rows.turns()) return q;
    const Index T = q.dim(0), Hq = q.dim(1), D = q.dim(2);
    const float scale = log2e_over(std::sqrt(static_cast<double>(D)));
    queries_.resize(std::max(queries_.size(), usize(T * Hq * D)));
    for (Index t = 0; t < T; ++t)
        for (Index h = 0; h < Hq; ++h) {
            float* const head = queries_.data() + (t * Hq + h) * D;
            std::copy_n(&q(t, h, 0), D, head);
            if (rotates())
                attention_kernels(level_).rotate(head, rope_->cos(angle + t),
                                                 rope_->sin(angle + t), rope_->rope_dim(), D,
                                                 scale);
            else
                rows.turn({head, usize(D)});
        }
    return {queries_.data(), {T, Hq, D}};
}

// ANCHOR_END: prepared

AttentionWork RowAttention::attend_tokens(ThreadPool& pool,
                                          const View<const float>& q,
                                          const LayerRows& rows,
                                          const SlotPlaces& places,
                                          const View<float>& out,
                                          ShareReader* reader) const {
    if (!rotates()) return attend_tiles(level_, pool, q, rows, places.past, out, reader);
    const RotatedTiles tiles(level_, rows, *angles_, places.ranks, places.past + q.dim(0));
    return attend_tiles(level_, pool, q, tiles, places.past, out, reader);
}

// ANCHOR: attend
AttentionWork RowAttention::attend(ThreadPool& pool,
                                   const View<const float>& q,
                                   LayerRows& rows,
                                   const SlotPlaces& places,
                                   const View<float>& out,
                                   ShareReader* reader) {
    const Index T = q.dim(0), D = q.dim(2);
    const View<const float> queries = prepared(q, rows, places.angle);
    AttentionWork work;
    if (rows.tokens_differ()) {
        check(reader == nullptr, store_, ": shares of rows that differ from token to token");
        for (Index t = 0; t < T; ++t) {
            rows.see_from(places.position + t);
            SlotPlaces one = places;
            one.past += t;
            work.pairs += attend_tokens(pool, queries.slice(0, t, t + 1), rows, one,
                                        out.slice(0, t, t + 1), nullptr)
                              .pairs;
        }
    } else {
        work.pairs = attend_tokens(pool, queries, rows, places, out, reader).pairs;
    }
    if (rows.turns())
        for (Index t = 0; t < T; ++t)
            for (Index h = 0; h < q.dim(1); ++h) rows.turn({&out(t, h, 0), usize(D)});
    work.bytes_read = rows.held_bytes(places.past + T);
    work.bytes_written = work.bytes_read - rows.held_bytes(places.past);
    return work;
}

// ANCHOR_END: attend

}  // namespace kvlab
