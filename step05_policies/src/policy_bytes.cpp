#include <kvlab/policies/policy_bytes.hpp>

#include <algorithm>
#include <cmath>

#include <kvlab/policies/registry.hpp>

namespace kvlab {

namespace {

constexpr Index kNumber = 4;  // bytes of a float, a position or a rank

// Beside the key and the value of a slot: its position, its rank where positions are counted in
// the cache, and what the policy remembers of it.
Index numbers_beside(const std::string& name, const PolicyOptions& options) {
    if (name == "full" || name == "window" || name == "sinks" || name == "oracle") return 1;
    if (name == "keyformer") return 3;
    if (name == "scissorhands" && options.votes > 0) return 3;
    return 2;
}

Index tokens_held(const std::string& name,
                  const PolicyOptions& options,
                  const KvShape& shape,
                  Index layer,
                  Index prompt,
                  Index length) {
    if (name == "full") return length;
    if (find_policy(name).streams) {
        Index keep = tokens_to_keep(options, length);
        if (name == "sinks" || name == "sinks-relative") keep = std::max(keep, options.sinks);
        // Whole layers keep everything.
        if (name == "key-norm" && layer < options.whole_layers) keep = length;
        return std::min(length, keep);
    }
    if (length < prompt) return length;
    PolicyOptions own = options;
    if (name == "pyramidkv-ratios" && own.ratios.empty()) own.ratios = {1, 1, 0.5, 0.25};
    const Index keep = name == "snapkv"
                           ? std::max(options.window, tokens_to_keep(options, prompt))
                           : pyramidkv_policy(own, shape.layers)->keep(layer, prompt);
    return std::min(prompt, keep) + length - prompt;
}

Index quest_bytes(const PolicyOptions& options, const KvShape& shape, Index length) {
    check(options.page >= 1, "policy bytes: pages of ", options.page, " tokens");
    const Index pages = (length + options.page - 1) / options.page;
    return full_bytes(shape, length) + full_bytes(shape, pages);  // a page: min and max
}

// A pair of layers has one direction, four lengths and, of retained tokens, all and a position.
Index minicache_bytes(const PolicyOptions& options, const KvShape& shape, Index length) {
    // The deeper half, and of few layers at least a pair.
    const Index middle = std::max<Index>(0, std::min(shape.layers / 2, shape.layers - 2));
    const Index first = options.merge_from < 0 ? middle : options.merge_from;
    const Index pairs = std::max<Index>(0, shape.layers - first) / 2;
    const Index slot = 2 * shape.head_dim * kNumber;
    const auto retained =
        static_cast<Index>(std::ceil(options.retained * static_cast<double>(length)));
    return shape.kv_heads *
           ((shape.layers - 2 * pairs) * length * slot +
            pairs * (length * (slot + 2 * kNumber) + retained * (slot + kNumber)));
}

}  // namespace

Index full_bytes(const KvShape& shape, Index length) {
    check_kv_shape("policy bytes", shape);
    return checked_product("policy bytes",
                           {2, shape.layers, shape.kv_heads, shape.head_dim, length, kNumber});
}

Index policy_bytes(const std::string& name,
                   const PolicyOptions& options,
                   const KvShape& shape,
                   Index prompt,
                   Index length) {
    find_policy(name);
    check(prompt >= 0 && length >= 0, "policy bytes: a prompt of ", prompt, " and a length of ",
          length);
    // Whatever a policy keeps beside is a few times as much at most, and fits as well.
    check_bytes("policy bytes", full_bytes(shape, std::max(prompt, length)));
    if (name == "quest") return quest_bytes(options, shape, length);
    if (name == "minicache") return minicache_bytes(options, shape, length);
    const Index slot = kNumber * (2 * shape.head_dim + numbers_beside(name, options));
    Index bytes = 0;
    for (Index layer = 0; layer < shape.layers; ++layer)
        bytes +=
            shape.kv_heads * slot * tokens_held(name, options, shape, layer, prompt, length);
    return bytes;
}

Index budget_for_bytes(const std::string& name,
                       PolicyOptions options,
                       const KvShape& shape,
                       Index prompt,
                       Index length,
                       Index most) {
    if (name == "full" || name == "quest" || name == "minicache" || name == "pyramidkv-ratios")
        return 0;
    options.ratio = 0;
    // Bytes do not fall while the budget grows, so halve the range.
    Index low = 0, high = length;
    const bool pooled = name == "snapkv" || name == "pyramidkv";
    if (pooled) low = options.window;  // the window that decides stays, and more has to
    while (low < high) {
        options.budget = (low + high + 1) / 2;
        if (policy_bytes(name, options, shape, prompt, length) <= most)
            low = options.budget;
        else
            high = options.budget - 1;
    }
    return pooled && low == options.window ? 0 : low;
}

}  // namespace kvlab
