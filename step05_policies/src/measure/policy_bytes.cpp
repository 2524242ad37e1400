#include <kvlab/policies/policy_bytes.hpp>

#include <algorithm>

#include <kvlab/policies/registry.hpp>

namespace kvlab {

namespace {

constexpr Index kNumber = 4;  // bytes of a float, a position or a rank

// Of one layer and KV head, where all keep the same or share a sum.
Index tokens_held(
    const PolicyEntry& entry, const Policy& policy, Index layer, Index prompt, Index length) {
    if (entry.streams) return std::min(length, policy.keep(layer, length));
    if (length < prompt) return length;
    return std::min(prompt, policy.keep(layer, prompt)) + length - prompt;
}

// Of all layers and KV heads. A policy that allots and goes on evicting is asked for its
// budgets as if nothing were held: only whose they are depends on that.
Index all_tokens_held(const PolicyEntry& entry,
                      const Policy& policy,
                      const KvShape& shape,
                      Index prompt,
                      Index length) {
    Index tokens = 0;
    if (!policy.allots() || policy.once()) {
        for (Index layer = 0; layer < shape.layers; ++layer)
            tokens += shape.kv_heads * tokens_held(entry, policy, layer, prompt, length);
        return tokens;
    }
    std::vector<RatedHead> heads(usize(shape.layers * shape.kv_heads));
    std::vector<Index> budgets;
    for (Index layer = 0; layer < shape.layers; ++layer)
        budgets.resize(budgets.size() + usize(shape.kv_heads), policy.keep(layer, prompt));
    policy.allot(heads, budgets);
    for (const Index budget : budgets)
        tokens += length < prompt ? length : std::min(length, budget);
    return tokens;
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
    const PolicyEntry& entry = find_policy(name);
    check(prompt >= 0 && length >= 0, "policy bytes: a prompt of ", prompt, " and a length of ",
          length);
    // Whatever a policy keeps beside is a few times as much at most, and fits as well.
    check_bytes("policy bytes", full_bytes(shape, std::max(prompt, length)));
    if (entry.bytes != nullptr) return entry.bytes(options, shape, length);
    PolicyContext context;
    context.shape = shape;
    const PolicyPointer policy = entry.policy(options, context);
    // Beside the key and the value of a slot: its position, its rank where positions are
    // counted in the cache, and what the policy remembers of it.
    const Index ranks = entry.scheme == PositionScheme::relative ? 1 : 0;
    const bool dropped = policy->drops_state() && length >= prompt;
    const Index state = dropped ? 0 : policy->state_rows();
    const Index slot = kNumber * (2 * shape.head_dim + 1 + ranks + state);
    return slot * all_tokens_held(entry, *policy, shape, prompt, length);
}

Index budget_for_bytes(const std::string& name,
                       PolicyOptions options,
                       const KvShape& shape,
                       Index prompt,
                       Index length,
                       Index most) {
    const PolicyEntry& entry = find_policy(name);
    if (!entry.has_budget) return 0;
    options.ratio = 0;
    // Bytes do not fall while the budget grows, so halve the range.
    const Index above = entry.budget_above == nullptr ? 0 : entry.budget_above(options);
    Index low = above, high = length;
    while (low < high) {
        options.budget = (low + high + 1) / 2;
        if (policy_bytes(name, options, shape, prompt, length) <= most)
            low = options.budget;
        else
            high = options.budget - 1;
    }
    return low == above ? 0 : low;
}

}  // namespace kvlab
