#include <kvlab/kvcache/closed_forms.hpp>

namespace kvlab {

// ANCHOR: tokens_processed
Index tokens_processed(Index P, Index n, bool cached, LastToken last) {
    check(P >= 1 && n >= 1, "closed form: the prompt and what is generated have at least one ",
          "token each, found ", P, " and ", n);
    const Index shortest = last == LastToken::fed ? P + 1 : P,
                longest = last == LastToken::fed ? P + n : P + n - 1;
    if (cached) return longest;
    // Every step feeds the whole text: shortest + ... + longest, n numbers.
    return (shortest + longest) * n / 2;
}

// ANCHOR_END: tokens_processed

Index CacheShape::crossover(Index weight_bytes, Index batch) const {
    check(weight_bytes > 0 && batch > 0, "closed form: weights and batch must be positive");
    const Index one = per_token() * batch;
    return (weight_bytes + one - 1) / one;
}

Index projection_flops(Index layers, Index dim, Index heads, Index kv_heads, Index head_dim) {
    return layers * 2 * dim * (2 * heads * head_dim + 2 * kv_heads * head_dim);
}

}  // namespace kvlab
