// The decoder's activations: buffers that grow with the number of rows and are used again.
#include <kvlab/attention/decoder.hpp>

namespace kvlab {

namespace {

// Rows lie an odd number of cache lines apart: at a multiple of 4 KB the rows of a tile would
// all fall into the same few sets of the cache and push each other out.
Index row_stride(Index width) {
    constexpr Index line = 64 / sizeof(float);
    return ((width + line - 1) / line | 1) * line;
}

}  // namespace

void Decoder::look_at_rows() {
    const Config& c = config();
    const Index wide = (c.architecture == Architecture::gpt2 ? 1 : 2) * c.ffn;
    const auto rows = [&](Buffer& buffer, Index width) {
        return View<float>(buffer.data(), {R_, width});
    };
    x_rows_ = rows(*x_, c.dim);
    normed_rows_ = rows(*normed_, c.dim);
    qkv_rows_ = rows(*qkv_, c.qkv_width());
    mixed_rows_ = rows(*mixed_, c.heads * c.head_dim);
    branch_rows_ = rows(*branch_, c.dim);
    const auto spread = [&](Buffer& buffer, Index width) {
        return View<float>(buffer.data(), {R_, width}, {row_stride(width), 1, 0, 0});
    };
    wide_rows_ = spread(*gate_up_, wide);
    hidden_rows_ = spread(*hidden_, c.ffn);
    const auto heads = [&](Index first, Index count) {  // some heads of qkv
        return View<float>(qkv_->data() + first * c.head_dim, {R_, count, c.head_dim},
                           {c.qkv_width(), c.head_dim, 1, 0});
    };
    queries_ = heads(0, c.heads);
    keys_ = heads(c.heads, c.kv_heads);
    values_ = heads(c.heads + c.kv_heads, c.kv_heads);
    mixed_heads_ = View<float>(mixed_->data(), {R_, c.heads, c.head_dim});
}

void Decoder::reserve(Index R, Index n) {
    const Config& c = config();
    const Index wide = (c.architecture == Architecture::gpt2 ? 1 : 2) * c.ffn;
    const auto rows = [&](Index count, Index width) {
        return engine_.allocate(checked_product("decoder", {count, width}));
    };
    if (R > capacity_) {
        // A text that is run again for every token grows by one: room for 64 more saves growing
        // each time. A decoder that only ever sees single tokens keeps one row.
        if (R > 1) R = (R + 63) / 64 * 64;
        x_ = rows(R, c.dim);
        normed_ = rows(R, c.dim);
        qkv_ = rows(R, c.qkv_width());
        mixed_ = rows(R, c.heads * c.head_dim);
        branch_ = rows(R, c.dim);
        gate_up_ = rows(R, row_stride(wide));
        hidden_ = rows(R, row_stride(c.ffn));
        capacity_ = R;
        R_ = 0;  // the looks have to be taken again
    }
    if (n > logits_capacity_) {
        wanted_ = rows(n, c.dim);
        logits_ = rows(n, c.vocab);
        logits_capacity_ = n;
    }
}

Index Decoder::activation_bytes() const {
    Index floats = 0;
    for (const auto* buffer :
         {&x_, &normed_, &qkv_, &mixed_, &branch_, &gate_up_, &hidden_, &wanted_, &logits_})
        if (*buffer) floats += (*buffer)->size();
    return floats * Index{sizeof(float)};
}

}  // namespace kvlab
