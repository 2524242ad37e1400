#include <kvlab/quant/quant_cache.hpp>

#include <algorithm>
#include <cmath>

#include <kvlab/attention/attention.hpp>
#include <kvlab/policies/policy_kernels.hpp>
#include <kvlab/quant/hadamard.hpp>
#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

std::string quant_name(const QuantOptions& options) {
    std::string name = kv_code_name(options.keys);
    if (options.values != options.keys) name += concat("/", kv_code_name(options.values));
    if (options.rotate) name += " rotated";
    if (options.before_rope) name += " before rope";
    if (options.sinks > 0) name += concat(" sinks ", options.sinks);
    return name;
}

QuantCache::QuantCache(const KvShape& shape,
                       Index capacity,
                       const QuantOptions& options,
                       const RopeTable* rope,
                       SimdLevel level)
    : shape_(shape), capacity_(capacity), options_(options), rope_(rope), level_(level) {
    check_kv_shape("quant cache", shape);
    check(capacity > 0, "quant cache: capacity must be positive, found ", capacity);
    if (options.rotate) check_hadamard(shape.head_dim);
    if (options.before_rope) {
        check(!options.rotate, "quant cache: keys before RoPE cannot be rotated behind it");
        check(rope != nullptr && rope->positions() >= capacity,
              "quant cache: keys before RoPE need a model with RoPE of ", capacity,
              " positions");
    }
    const auto side = [&](KvCode code, CodedTiles::Side which) {
        return CodedSide({code, options.sinks, options.residual}, which, capacity,
                         shape.kv_heads, shape.head_dim, level);
    };
    for (Index layer = 0; layer < shape.layers; ++layer)
        layers_.push_back({side(options.keys, CodedTiles::Side::keys),
                           side(options.values, CodedTiles::Side::values)});
}

void QuantCache::begin(Index T) {
    check(T >= 1 && T <= room(), "quant cache: ", T, " tokens do not fit: ", length_, " of ",
          capacity_, " slots are taken");
    if (options_.before_rope) angles_ = reaching(angles_, *rope_, length_ + T);
    for (Layer& layer : layers_) {
        layer.keys.begin(length_, T);
        layer.values.begin(length_, T);
    }
    pending_ = T;
    appended_ = 0;
}

// ANCHOR: append
void QuantCache::append(Index layer, const View<const float>& k, const View<const float>& v) {
    const KvShape& s = shape_;
    check_shape(k, {pending_, s.kv_heads, s.head_dim}, "quant cache: keys");
    check_shape(v, {pending_, s.kv_heads, s.head_dim}, "quant cache: values");
    check(layer == appended_ && layer < s.layers, "quant cache: expected layer ", appended_,
          " of ", s.layers, ", found ", layer);
    Layer& l = layers_[static_cast<std::size_t>(layer)];
    append_side(l.keys, k);
    append_side(l.values, v);
    ++appended_;
}

void QuantCache::append_side(CodedSide& side, const View<const float>& rows) {
    float room[CodedRow::kMost];
    const std::span row(room, static_cast<std::size_t>(shape_.head_dim));
    for (Index h = 0; h < shape_.kv_heads; ++h)
        for (Index t = 0; t < pending_; ++t) {
            for (Index i = 0; i < shape_.head_dim; ++i) room[i] = rows(t, h, i);
            if (options_.rotate) hadamard(row);
            side.write(h, length_ + t, row);
        }
    side.finish_rows(length_, pending_);
}

// ANCHOR_END: append

// The tiles of a layer as the token at position `seen` sees them.
class QuantCache::Reader final : public TileReader {
public:
    Reader(const QuantCache& cache, const Layer& layer, Index seen)
        : TileReader(cache.capacity_, cache.shape_.kv_heads, cache.shape_.head_dim),
          cache_(cache),
          layer_(layer),
          seen_(seen) {}

    Index slot_bytes() const override {
        return layer_.keys.tiles().row_bytes() + layer_.values.tiles().row_bytes();
    }

    const float* read_keys(Index kv_head, Index tile, float* room) const override {
        const float* const keys = layer_.keys.read(kv_head, tile, seen_, room);
        if (!cache_.options_.before_rope) return keys;
        const RotationTable& angles = *cache_.angles_;
        const AngleRun run{0, tile * kTile};  // slot = position
        policy_kernels(cache_.level_)
            .rotate_tile(keys, angles.cos.data(), angles.sin.data(), angles.stride(), &run, 1,
                         angles.rope_dim, head_dim_, room);
        return room;
    }

    const float* read_values(Index kv_head, Index tile, float* room) const override {
        return layer_.values.read(kv_head, tile, seen_, room);
    }

private:
    const QuantCache& cache_;
    const Layer& layer_;
    Index seen_;
};

// Queries as the keys are: at their angles, scaled, and rotated.
View<const float> QuantCache::prepared_queries(const View<const float>& q) {
    const Index T = q.dim(0), Hq = shape_.heads, D = shape_.head_dim;
    if (!options_.before_rope && !options_.rotate) return q;
    const float scale = log2e_over(std::sqrt(static_cast<double>(D)));
    queries_.resize(std::max(queries_.size(), static_cast<std::size_t>(T * Hq * D)));
    for (Index t = 0; t < T; ++t)
        for (Index h = 0; h < Hq; ++h) {
            float* const head = queries_.data() + (t * Hq + h) * D;
            for (Index i = 0; i < D; ++i) head[i] = q(t, h, i);
            if (options_.before_rope)
                attention_kernels(level_).rotate(head, rope_->cos(length_ + t),
                                                 rope_->sin(length_ + t), rope_->rope_dim(), D,
                                                 scale);
            if (options_.rotate) hadamard({head, static_cast<std::size_t>(D)});
        }
    return {queries_.data(), {T, Hq, D}};
}

// ANCHOR: attend
AttentionWork QuantCache::attend(Index layer,
                                 const View<const float>& q,
                                 const View<float>& out,
                                 ThreadPool& pool) {
    check_attend("quant cache", shape_, pending_, appended_, layer, q, out);
    const Layer& l = layers_[static_cast<std::size_t>(layer)];
    const View<const float> queries = prepared_queries(q);
    AttentionWork work;
    // KIVI: the tokens of a step do not see the same rows as codes, so each comes alone.
    const bool alone =
        kv_code_traits(options_.keys).groups || kv_code_traits(options_.values).groups;
    for (Index t = 0; t < pending_; t += alone ? 1 : pending_) {
        const Index end = alone ? t + 1 : pending_;
        const Reader reader(*this, l, length_ + t);
        const AttentionWork part = attend_tiles(level_, pool, queries.slice(0, t, end), reader,
                                                length_ + t, out.slice(0, t, end));
        work.pairs += part.pairs;
    }
    if (options_.rotate)
        for (Index t = 0; t < pending_; ++t)
            for (Index h = 0; h < shape_.heads; ++h)
                hadamard({&out(t, h, 0), static_cast<std::size_t>(shape_.head_dim)});
    const auto bytes = [&](Index n) {
        return l.keys.logical_bytes(n) + l.values.logical_bytes(n);
    };
    work.bytes_read = bytes(length_ + pending_);
    work.bytes_written = work.bytes_read - bytes(length_);
    return work;
}

// ANCHOR_END: attend

void QuantCache::commit() {
    check(pending_ > 0 && appended_ == shape_.layers, "quant cache: a step ends with ",
          appended_, " of ", shape_.layers, " layers");
    for (Layer& layer : layers_) {
        layer.keys.commit(length_, pending_);
        layer.values.commit(length_, pending_);
    }
    length_ += pending_;
    pending_ = 0;
}

void QuantCache::truncate(Index length) {
    check(length >= 0 && length <= length_, "quant cache: cannot truncate ", length_,
          " tokens to ", length);
    for (const Layer& layer : layers_)
        check(layer.keys.can_truncate(length_, length) &&
                  layer.values.can_truncate(length_, length),
              "quant cache: cannot truncate ", length_, " tokens to ", length,
              ": what waited in f16 then is codes now");
    length_ = length;
    pending_ = 0;
}

std::unique_ptr<KvStore> QuantCache::fork() const {
    auto copy = std::make_unique<QuantCache>(shape_, capacity_, options_, rope_, level_);
    for (std::size_t layer = 0; layer < layers_.size(); ++layer) {
        copy->layers_[layer].keys.copy_from(layers_[layer].keys, length_);
        copy->layers_[layer].values.copy_from(layers_[layer].values, length_);
    }
    copy->angles_ = angles_;
    copy->length_ = length_;
    return copy;
}

KvBytes QuantCache::bytes() const {
    KvBytes bytes;
    for (const Layer& layer : layers_) {
        bytes.logical +=
            layer.keys.logical_bytes(length_) + layer.values.logical_bytes(length_);
        bytes.allocated += layer.keys.allocated_bytes() + layer.values.allocated_bytes();
    }
    return bytes;
}

void QuantCache::check_number(Index layer, Index kv_head, Index position, Index i) const {
    check(layer >= 0 && layer < shape_.layers && kv_head >= 0 && kv_head < shape_.kv_heads &&
              position >= 0 && position < length_ && i >= 0 && i < shape_.head_dim,
          "quant cache: there is no element [", layer, ", ", kv_head, ", ", position, ", ", i,
          "]");
}

float QuantCache::key(Index layer, Index kv_head, Index position, Index i) const {
    check_number(layer, kv_head, position, i);
    return layers_[static_cast<std::size_t>(layer)].keys.number(kv_head, position, length_, i);
}

float QuantCache::value(Index layer, Index kv_head, Index position, Index i) const {
    check_number(layer, kv_head, position, i);
    return layers_[static_cast<std::size_t>(layer)].values.number(kv_head, position, length_,
                                                                  i);
}

}  // namespace kvlab
