#include <kvlab/quant/latent_plan.hpp>

#include <kvlab/quant/latent_rows.hpp>

namespace kvlab {

namespace {

// The first `rank` columns of u, as rows.
PackedMatrix transposed(const Basis& basis, Index rank) {
    Tensor rows({rank, basis.size});
    for (Index j = 0; j < rank; ++j)
        for (Index n = 0; n < basis.size; ++n)
            rows(j, n) = static_cast<float>(at(basis.u, n * basis.size + j));
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
            keys(n, j) = static_cast<float>(at(key_basis.u, n * N + j));
        for (Index j = 0; j < of_values; ++j)
            values(n / D, j, n % D) = static_cast<float>(at(value_basis.u, n * N + j));
    }
}

LatentPlan::LatentPlan(std::shared_ptr<const Model> of,
                       const Bases& bases,
                       const LatentRanks& ranks,
                       Format latent_format)
    : shape{of->config.layers, of->config.heads, of->config.kv_heads, of->config.head_dim},
      model(std::move(of)),
      format(latent_format) {
    check(format == &formats::f32 || format == &formats::int8,
          "latents: kept as f32 or int8, not as ", format->name);
    check(model->rope.positions() > 0, "latents: expected a model with RoPE, found ",
          architecture_name(model->config.architecture));
    const auto L = usize(shape.layers);
    check(bases.keys.size() == L && bases.values.size() == L && ranks.keys.size() == L &&
              ranks.values.size() == L,
          "latents: bases or ranks of another number of layers than ", L);
    for (std::size_t l = 0; l < L; ++l)
        layers.emplace_back(shape, bases.keys[l], ranks.keys[l], bases.values[l],
                            ranks.values[l]);
}

Index LatentPlan::token_bytes() const {
    Index bytes = 0;
    for (const LatentLayer& layer : layers)
        bytes += format->row_bytes(layer.key_rank) + format->row_bytes(layer.value_rank);
    return bytes;
}

std::unique_ptr<KvCache> make_latent_cache(std::shared_ptr<const LatentPlan> plan,
                                           Index capacity,
                                           SimdLevel level) {
    check(plan != nullptr, "latents: no plan");
    const Index context = plan->model->config.context;
    check(capacity >= 1 && capacity <= context, "latents: a capacity of ", capacity,
          "; the model's context is ", context);
    const RopeTable* const rope = &plan->model->rope;
    const KvShape shape = plan->shape;
    return std::make_unique<KvCache>(shape, capacity, latent_rows(std::move(plan), level), rope,
                                     level);
}

}  // namespace kvlab
