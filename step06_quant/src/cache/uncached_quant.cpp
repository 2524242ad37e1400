#include <kvlab/quant/uncached_quant.hpp>

#include <algorithm>
#include <cmath>

#include <kvlab/attention/attention.hpp>
#include <kvlab/kvcache/kv_cache.hpp>
#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

namespace {

// Slots [0, coded) of KIVI's keys: one channel of 32 tokens is a group. A sink is in none; for
// the range the group's first other token stands for it.
void round_trip_channels(Tensor& seen, Format format, Index sinks, Index coded) {
    for (Index first = 0; first < coded; first += kScaleBlock)
        for (Index i = 0; i < seen.dim(1); ++i) {
            float channel[kScaleBlock], d = 0, m = 0;
            std::uint8_t codes[kScaleBlock];
            const Index whole = std::clamp<Index>(sinks - first, 0, kScaleBlock);
            for (Index s = 0; s < kScaleBlock; ++s)
                channel[s] = whole == kScaleBlock ? 0.0f : seen(first + std::max(s, whole), i);
            encode_group(format->bits, channel, 1, codes, d, m);
            for (Index s = whole; s < kScaleBlock; ++s)
                seen(first + s, i) = decode_number(format, codes[s], d, m);
        }
}

// [t + 1, D] of a head.
Tensor rows_of(const Tensor& all, Index t, Index kv_head) {
    Tensor rows({t + 1, all.dim(2)});
    for (Index s = 0; s <= t; ++s)
        for (Index i = 0; i < all.dim(2); ++i) rows(s, i) = all(s, kv_head, i);
    return rows;
}

}  // namespace

// ANCHOR: seen_rows
Tensor seen_rows(const Tensor& rows,
                 Format format,
                 bool keys,
                 Index sinks,
                 Index residual,
                 const SignSketch* sketch) {
    format = format->of(keys);
    const Index S = rows.dim(0), D = rows.dim(1), p = S - 1;
    Tensor seen = rows.clone();
    const auto row = [&](Index s) { return std::span<float>(&seen(s, 0), usize(D)); };
    const bool kivi = format->waits;
    check(!kivi || residual >= 1, "seen rows: a residual of ", residual, " tokens");
    if (kivi)
        for (Index s = sinks; s < S; ++s) round_trip(&formats::f16, row(s));
    const Index coded = !kivi  ? S
                        : keys ? p / residual * residual
                               : std::max<Index>(0, p - residual);
    if (kivi && keys)
        round_trip_channels(seen, format, sinks, coded);
    else
        for (Index s = sinks; s < coded; ++s) round_trip(format, row(s), sketch);
    return seen;
}

// ANCHOR_END: seen_rows

UncachedQuant::UncachedQuant(const KvShape& shape,
                             Index context,
                             const QuantOptions& options,
                             const RopeTable* rope)
    : SteppedStore("uncached quant", shape, context),
      options_(options),
      rope_(rope),
      turn_(turn_of(options, shape.head_dim)),
      sketch_(options.keys->sketch ? SignSketch(shape.head_dim, options.seed) : SignSketch()) {
    const KvCache refuses(shape, context, coded_rows(options), rope);
}

void UncachedQuant::write_rows(Index, const View<const float>& k, const View<const float>& v) {
    keys_ = copy(k);
    values_ = copy(v);
}

AttentionWork UncachedQuant::attend_rows(Index layer,
                                         const View<const float>& q,
                                         const View<float>& out,
                                         ThreadPool&) {
    check(layer == appended() - 1, name(), ": the rows of layer ", layer, " are gone");
    for (Index t = first_; t < pending(); ++t)
        for (Index h = 0; h < shape().kv_heads; ++h) attend_one(t, h, q, out);
    return {};
}

std::unique_ptr<SteppedStore> UncachedQuant::copied() const {
    return std::make_unique<UncachedQuant>(shape(), capacity(), options_, rope_);
}

Tensor UncachedQuant::copy(const View<const float>& rows) const {
    Tensor all(rows.shape());
    for (Index t = 0; t < rows.dim(0); ++t)
        for (Index h = 0; h < rows.dim(1); ++h) {
            for (Index i = 0; i < rows.dim(2); ++i) all(t, h, i) = rows(t, h, i);
            turn_.apply({&all(t, h, 0), usize(rows.dim(2))});
        }
    return all;
}

void UncachedQuant::attend_one(Index t,
                               Index kv_head,
                               const View<const float>& q,
                               const View<float>& out) const {
    const Index D = shape().head_dim, group = shape().heads / shape().kv_heads;
    Tensor k = seen_rows(rows_of(keys_, t, kv_head), options_.keys, true, options_.sinks,
                         options_.residual, &sketch_);
    const Tensor v = seen_rows(rows_of(values_, t, kv_head), options_.values, false,
                               options_.sinks, options_.residual, &sketch_);
    if (options_.before_rope)
        for (Index s = 0; s <= t; ++s) rope_->rotate(&k(s, 0), s);
    for (Index head = kv_head * group; head < (kv_head + 1) * group; ++head) {
        Tensor query({D}), result({D});
        for (Index i = 0; i < D; ++i) query(i) = q(t, head, i);
        if (options_.before_rope) {
            rope_->rotate(query.data(), t);
            const float scale = log2e_over(std::sqrt(static_cast<double>(D)));
            for (float& x : query.flat()) x *= scale;
        }
        turn_.apply(query.flat());
        attention_plain(query.view(), k.view(), v.view(), result.view());
        turn_.apply(result.flat());
        for (Index i = 0; i < D; ++i) out(t, head, i) = result(i);
    }
}

}  // namespace kvlab
