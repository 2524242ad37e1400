// latent_plan.hpp - chapter 6: what a model's latents are: r numbers for a token's keys of all
// heads, r for its values, and the matrices that make them and take them back.
//
//   write    c_k = U_kt k, c_v = U_vt v          k before RoPE: turned by an angle that differs
//                                                from token to token, keys share no directions
//   read     tile by tile: k' = RoPE(U_k c_k), v' = U_v c_v; then as with any other tiles
//
// ANCHOR: latents
//   of each layer   keys    [tiles][r_k][64]    one register's load: 16 slots of one direction
//                   values  [slots][r_v]        one row is one slot's
//   as bytes        the same codes of one byte, and one scale for each slot and side
// ANCHOR_END: latents
#pragma once

#include <memory>
#include <vector>

#include <kvlab/attention/model.hpp>
#include <kvlab/kvcache/kv_format.hpp>
#include <kvlab/quant/low_rank.hpp>
#include <kvlab/tensor/packed_matrix.hpp>

namespace kvlab {

// The projections of one layer, as reading and writing need them. Shared by all rows.
struct LatentLayer {
    // Throws Error unless both ranks are between 1 and Hkv D.
    LatentLayer(const KvShape& shape,
                const Basis& keys,
                Index key_rank,
                const Basis& values,
                Index value_rank);

    Index key_rank, value_rank;
    PackedMatrix to_keys, to_values;  // [r, Hkv D]: Ut
    Tensor keys;                      // [Hkv D, r_k]: U
    Tensor values;                    // [Hkv][r_v][Dp]: each head's rows of U, transposed
};

struct LatentRanks {
    std::vector<Index> keys, values;  // by layer
};

// All that does not change: made once for a model, shared by its caches.
struct LatentPlan {
    // Latents are kept as f32 or int8. Throws Error for another format, for ranks or bases of
    // another model, and for a model without RoPE.
    LatentPlan(std::shared_ptr<const Model> model,
               const Bases& bases,
               const LatentRanks& ranks,
               Format format);

    KvShape shape;
    std::shared_ptr<const Model> model;  // its table of angles
    Format format;
    std::vector<LatentLayer> layers;

    Index token_bytes() const;  // of one token in all layers
};

// Chapter 3's cache with such rows. Throws Error unless 1 <= capacity <= the model's context.
std::unique_ptr<KvCache> make_latent_cache(std::shared_ptr<const LatentPlan> plan,
                                           Index capacity,
                                           SimdLevel level = default_simd_level());

}  // namespace kvlab
