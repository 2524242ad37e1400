#include <kvlab/kvcache/closed_forms.hpp>

namespace kvlab {

// ANCHOR: tokens_processed
Index tokens_processed(Index P, Index n, bool cached, LastToken last) {
    check(P >= 1 && n >= 1, "closed form: the prompt and what is generated have at least one ",
          "token each, found ", P, " and ", n);
    // SOLUTION-BEGIN 3.4
    const Index fed = last == LastToken::fed ? 1 : 0,
                longest = checked_sum("closed form", {P, n - 1, fed});
    if (cached) return longest;
    // Every step feeds the whole text: n numbers in a row. The even one of the two factors, n
    // and the sum of the shortest and the longest, is halved first: what fits as a result then
    // fits on the way, too.
    const Index shortest = P + fed;
    if (n % 2 == 0)
        return checked_product("closed form",
                               {n / 2, checked_sum("closed form", {shortest, longest})});
    return checked_product("closed form",
                           {n, checked_sum("closed form", {shortest, (n - 1) / 2})});
    // SOLUTION-END 3.4
}

// ANCHOR_END: tokens_processed

Index CacheShape::per_token() const {
    check(layers > 0 && kv_heads > 0 && head_dim > 0 && bytes > 0,
          "closed form: layers, KV heads, head_dim and bytes must be positive, found ", layers,
          ", ", kv_heads, ", ", head_dim, ", ", bytes);
    return checked_product("closed form", {2, layers, kv_heads, head_dim, bytes});
}

Index CacheShape::total(Index context, Index batch) const {
    return checked_product("closed form", {per_token(), context, batch});
}

Index CacheShape::crossover(Index weight_bytes, Index batch) const {
    check(weight_bytes > 0 && batch > 0, "closed form: weights and batch must be positive");
    // SOLUTION-BEGIN 3.4
    return blocks_for(weight_bytes, total(1, batch));
    // SOLUTION-END 3.4
}

Index projection_flops(Index layers, Index dim, Index heads, Index kv_heads, Index head_dim) {
    const Index wide = checked_product("closed form", {2, heads, head_dim}),
                narrow = checked_product("closed form", {2, kv_heads, head_dim});
    return checked_product("closed form",
                           {layers, 2, dim, checked_sum("closed form", {wide, narrow})});
}

}  // namespace kvlab
