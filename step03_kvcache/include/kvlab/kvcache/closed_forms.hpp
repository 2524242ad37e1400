// closed_forms.hpp - chapter 3: what the cache saves and costs in models too large to run here.
// All throw Error for numbers below their range and for results that do not fit in 64 bits.
#pragma once

#include <kvlab/tensor/tensor.hpp>

namespace kvlab {

// Tokens that pass through the model while n follow a prompt of P. The last of the n is
// sampled, but never fed, unless someone wants it in the cache too.
enum class LastToken { not_fed, fed };
Index tokens_processed(Index P, Index n, bool cached, LastToken last = LastToken::not_fed);

// A decoder's shape as far as its cache is concerned, with the size of a number in bytes.
struct CacheShape {
    Index layers, kv_heads, head_dim;
    Index bytes = 2;

    // Keys and values of one token: 2 L Hkv D bytes. Throws Error unless all are positive.
    Index per_token() const;

    // Of `batch` sequences of `context` tokens each.
    Index total(Index context, Index batch = 1) const;

    // The shortest context at which the caches of `batch` sequences are as large
    // as the weights.
    Index crossover(Index weight_bytes, Index batch = 1) const;
};

// FLOPs of the projections (queries, keys, values, out) of one token: 2 fma d^2 of queries and
// of the way out, 2 d Hkv D of keys and of values, in every layer. MHA makes that 4 * 2 d^2.
Index projection_flops(Index layers, Index dim, Index heads, Index kv_heads, Index head_dim);

}  // namespace kvlab
