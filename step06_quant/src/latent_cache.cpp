#include <kvlab/quant/latent_cache.hpp>

#include <algorithm>
#include <cmath>

#include <kvlab/attention/attention.hpp>
#include <kvlab/attention/attention_kernels.hpp>
#include <kvlab/quant/latent_tiles.hpp>
#include <kvlab/tensor/matmul.hpp>
#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

namespace {

// The first `rank` columns of u, as rows.
PackedMatrix transposed(const Basis& basis, Index rank) {
    Tensor rows({rank, basis.size});
    for (Index j = 0; j < rank; ++j)
        for (Index n = 0; n < basis.size; ++n)
            rows(j, n) =
                static_cast<float>(basis.u[static_cast<std::size_t>(n * basis.size + j)]);
    return PackedMatrix::pack(rows.view());
}

Index padded(Index head_dim) {
    return (head_dim + 15) / 16 * 16;
}

}  // namespace

LatentLayer::LatentLayer(const KvShape& shape,
                         const Basis& key_basis,
                         Index of_keys,
                         const Basis& value_basis,
                         Index of_values)
    : key_rank(of_keys), value_rank(of_values) {
    const Index D = shape.head_dim, N = shape.kv_heads * D;
    check(key_basis.size == N && value_basis.size == N, "latents: bases of ", key_basis.size,
          " and ", value_basis.size, " numbers for keys of ", N);
    for (const Index rank : {of_keys, of_values})
        check(rank >= 1 && rank <= N, "latents: rank ", rank, " of ", N, " numbers");
    to_keys = transposed(key_basis, of_keys);
    to_values = transposed(value_basis, of_values);
    keys = Tensor({N, of_keys});
    values = Tensor({shape.kv_heads, of_values, padded(D)});
    for (Index n = 0; n < N; ++n) {
        for (Index j = 0; j < of_keys; ++j)
            keys(n, j) = static_cast<float>(key_basis.u[static_cast<std::size_t>(n * N + j)]);
        for (Index j = 0; j < of_values; ++j)
            values(n / D, j, n % D) =
                static_cast<float>(value_basis.u[static_cast<std::size_t>(n * N + j)]);
    }
}

LatentPlan::LatentPlan(std::shared_ptr<const Model> of,
                       const Bases& bases,
                       const LatentRanks& ranks,
                       LatentFormat latent_format)
    : shape{of->config.layers, of->config.heads, of->config.kv_heads, of->config.head_dim},
      model(std::move(of)),
      format(latent_format) {
    check(model->rope.positions() > 0, "latents: expected a model with RoPE, found ",
          architecture_name(model->config.architecture));
    const auto L = static_cast<std::size_t>(shape.layers);
    check(bases.keys.size() == L && bases.values.size() == L && ranks.keys.size() == L &&
              ranks.values.size() == L,
          "latents: bases or ranks of another number of layers than ", L);
    for (std::size_t l = 0; l < L; ++l)
        layers.emplace_back(shape, bases.keys[l], ranks.keys[l], bases.values[l],
                            ranks.values[l]);
}

Index LatentPlan::token_bytes() const {
    const Index number = format == LatentFormat::f32 ? Index{sizeof(float)} : 1;
    const Index scales = format == LatentFormat::f32 ? 0 : 2 * Index{sizeof(float)};
    Index bytes = 0;
    for (const LatentLayer& layer : layers)
        bytes += (layer.key_rank + layer.value_rank) * number + scales;
    return bytes;
}

namespace {

View<float> room_in(std::vector<float>& room, const Shape& shape) {
    room.resize(std::max(room.size(), static_cast<std::size_t>(shape.size())));
    return {room.data(), shape};
}

class LatentCache final : public KvStore {
public:
    LatentCache(std::shared_ptr<const LatentPlan> plan, Index capacity, SimdLevel level)
        : plan_(std::move(plan)), capacity_(capacity), level_(level) {
        const Index context = plan_->model->config.context;
        check(capacity >= 1 && capacity <= context, "latents: a capacity of ", capacity,
              "; the model's context is ", context);
        for (const LatentLayer& layer : plan_->layers)
            layers_.push_back({Latents(capacity, layer.key_rank, true, plan_->format),
                               Latents(capacity, layer.value_rank, false, plan_->format)});
    }

    const KvShape& shape() const override { return plan_->shape; }

    Index next_position() const override { return length_; }

    Index room() const override { return capacity_ - length_; }

    KeyForm key_form() const override { return KeyForm::unrotated; }

    void begin(Index T) override {
        check(T >= 1 && T <= room(), "latents: ", T, " tokens do not fit: ", length_, " of ",
              capacity_, " slots are taken");
        angles_ = reaching(angles_, plan_->model->rope, length_ + T);
        pending_ = T;
        appended_ = 0;
    }

    void append(Index layer, const View<const float>& k, const View<const float>& v) override;
    AttentionWork attend(Index layer,
                         const View<const float>& q,
                         const View<float>& out,
                         ThreadPool& pool) override;

    void commit() override {
        check(pending_ > 0 && appended_ == shape().layers, "latents: a step ends with ",
              appended_, " of ", shape().layers, " layers");
        length_ += pending_;
        pending_ = 0;
    }

    void truncate(Index length) override {
        check(length >= 0 && length <= length_, "latents: cannot truncate ", length_,
              " tokens to ", length);
        length_ = length;
        pending_ = 0;
    }

    std::unique_ptr<KvStore> fork() const override {
        auto copy = std::make_unique<LatentCache>(plan_, capacity_, level_);
        copy->layers_.clear();
        for (const LatentSides& sides : layers_) copy->layers_.push_back(sides);
        copy->angles_ = angles_;
        copy->length_ = length_;
        return copy;
    }

    KvBytes bytes() const override {
        KvBytes bytes;
        bytes.logical = length_ * plan_->token_bytes();
        for (const LatentSides& sides : layers_)
            bytes.allocated += sides.keys.allocated_bytes() + sides.values.allocated_bytes();
        return bytes;
    }

private:
    void project(const PackedMatrix& matrix, const View<const float>& rows, Latents& to);

    // Fixed at construction.
    std::shared_ptr<const LatentPlan> plan_;
    Index capacity_;
    SimdLevel level_;
    // As in chapter 3's cache.
    Index length_ = 0, pending_ = 0, appended_ = 0;
    std::vector<LatentSides> layers_;              // [L]
    std::shared_ptr<const RotationTable> angles_;  // of the tokens so far, and more
    // Room to work in, kept so that tokens allocate nothing.
    std::vector<float> rows_, latents_, queries_;
    ThreadPool alone_{1};
};

// c = Ut k for the step's rows [T, Hkv, D], into the slots behind the last.
void LatentCache::project(const PackedMatrix& matrix,
                          const View<const float>& rows,
                          Latents& to) {
    const Index T = rows.dim(0), H = rows.dim(1), D = rows.dim(2);
    const View<float> together = room_in(rows_, {T, H * D}),
                      latents = room_in(latents_, {T, to.rank()});
    for (Index t = 0; t < T; ++t)
        for (Index h = 0; h < H; ++h)
            for (Index i = 0; i < D; ++i) together(t, h * D + i) = rows(t, h, i);
    matmul(tensor_kernels(level_), alone_, together, matrix, latents);
    for (Index t = 0; t < T; ++t) to.write(length_ + t, &latents(t, 0));
}

void LatentCache::append(Index layer, const View<const float>& k, const View<const float>& v) {
    const KvShape& s = shape();
    check(layer == appended_ && layer < s.layers, "latents: expected layer ", appended_, " of ",
          s.layers, ", found ", layer);
    check_shape(k, {pending_, s.kv_heads, s.head_dim}, "latents: k");
    check_shape(v, {pending_, s.kv_heads, s.head_dim}, "latents: v");
    const LatentLayer& plan = plan_->layers[static_cast<std::size_t>(layer)];
    LatentSides& kept = layers_[static_cast<std::size_t>(layer)];
    project(plan.to_keys, k, kept.keys);
    project(plan.to_values, v, kept.values);
    ++appended_;
}

AttentionWork LatentCache::attend(Index layer,
                                  const View<const float>& q,
                                  const View<float>& out,
                                  ThreadPool& pool) {
    check_attend("latents", plan_->shape, pending_, appended_, layer, q, out);
    const Index T = q.dim(0), Hq = q.dim(1), D = q.dim(2);
    const RopeTable& rope = plan_->model->rope;
    const float scale = log2e_over(std::sqrt(static_cast<double>(D)));
    const View<float> rotated = room_in(queries_, {T, Hq, D});
    for (Index t = 0; t < T; ++t)
        for (Index h = 0; h < Hq; ++h) {
            float* const head = &rotated(t, h, 0);
            for (Index i = 0; i < D; ++i) head[i] = q(t, h, i);
            attention_kernels(level_).rotate(head, rope.cos(length_ + t), rope.sin(length_ + t),
                                             rope.rope_dim(), D, scale);
        }
    const LatentTiles tiles(level_, *plan_, plan_->layers[static_cast<std::size_t>(layer)],
                            layers_[static_cast<std::size_t>(layer)], *angles_, capacity_);
    return attend_tiles(level_, pool, rotated, tiles, length_, out);
}

}  // namespace

std::unique_ptr<KvStore> make_latent_cache(std::shared_ptr<const LatentPlan> plan,
                                           Index capacity,
                                           SimdLevel level) {
    check(plan != nullptr, "latents: no plan");
    return std::make_unique<LatentCache>(std::move(plan), capacity, level);
}

}  // namespace kvlab
