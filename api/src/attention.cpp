#include <kvlab/attention/attention.hpp>

#include <cmath>

#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/numerics.hpp>

#include "guard.hpp"

using namespace kvlab;
using namespace kvlab::api;

namespace {

void check_shape_of(const kvlab_attention_shape& s) {
    require(s.T >= 1, "T: expected at least 1, found ", s.T);
    require(s.S >= s.T, "S: expected at least T = ", s.T, ", found ", s.S);
    require(s.kv_heads >= 1, "kv_heads: expected at least 1, found ", s.kv_heads);
    require(s.heads >= 1 && s.heads % s.kv_heads == 0,
            "heads: expected a multiple of kv_heads = ", s.kv_heads, ", found ", s.heads);
    require(s.head_dim >= 1, "head_dim: expected at least 1, found ", s.head_dim);
}

}  // namespace

int kvlab_attention(const kvlab_attention_shape* shape,
                    const float* q,
                    const float* k,
                    const float* v,
                    float* out) {
    return guarded("kvlab_attention", [&] {
        require_pointer(shape, "shape");
        const auto [T, S, Hq, Hkv, D] = *shape;
        check_shape_of(*shape);
        require_array(q, "q", {T, Hq, D});
        require_array(k, "k", {S, Hkv, D});
        require_array(v, "v", {S, Hkv, D});
        require_array(out, "out", {T, Hq, D});
        const View<const float> queries(q, {T, Hq, D}), keys(k, {S, Hkv, D}),
            values(v, {S, Hkv, D});
        const View<float> results(out, {T, Hq, D});
        const float scale = log2e_over(std::sqrt(static_cast<double>(D)));
        Tensor scaled({D});
        for (Index t = 0; t < T; ++t)
            for (Index h = 0; h < Hq; ++h) {
                const Index kv = h / (Hq / Hkv), seen = S - T + t + 1;
                for (Index i = 0; i < D; ++i) scaled(i) = queries(t, h, i) * scale;
                attention_plain(std::as_const(scaled).view(),
                                keys.transposed(0, 1)[kv].slice(0, 0, seen),
                                values.transposed(0, 1)[kv].slice(0, 0, seen), results[t][h]);
            }
    });
}

int kvlab_checksum(const float* values, int64_t count, uint64_t* sum) {
    return guarded("kvlab_checksum", [&] {
        require_pointer(sum, "sum");
        require_array(values, "values", {count});
        *sum = checksum(span_of(values, count));
    });
}
