#include <kvlab/policies/registry.hpp>

#include <algorithm>

#include "policy_list.hpp"

namespace kvlab {

PolicyContext policy_context(const Decoder& decoder, Index capacity) {
    PolicyContext context;
    context.shape = decoder.kv_shape();
    context.capacity = capacity;
    if (decoder.model().rope.positions() > 0) context.rope = &decoder.model().rope;
    return context;
}

std::unique_ptr<PolicyStore> PolicyEntry::make(const PolicyContext& context,
                                               const PolicyOptions& options) const {
    if (store != nullptr) {
        check(!context.make_rows, name, ": its store keeps floats and nothing else");
        return store(options, context);
    }
    check(!needs_future || context.future != nullptr, name,
          ": the future of the text is not given");
    check(!reconstructs || context.reconstruction != nullptr, name,
          ": nobody has repeated the prompt");
    SlotCacheOptions slots{context.reduce, scheme, context.prompt};
    if (context.make_rows) slots.make_rows = context.make_rows;
    return std::make_unique<SlotCache>(context.shape, context.capacity,
                                       policy(options, context), slots, context.rope,
                                       context.level);
}

void look_ahead(PolicyContext& context,
                const PolicyEntry& entry,
                const PolicyOptions& options,
                Decoder& decoder,
                std::span<const Token> text) {
    if (entry.needs_future) context.future = std::make_shared<FutureShares>(decoder, text);
    if (!entry.reconstructs) return;
    const auto prompt = context.prompt > 0 ? text.first(usize(context.prompt)) : text;
    context.reconstruction = std::make_shared<Reconstruction>(
        decoder, prompt, static_cast<Index>(options.own_or("chunk", Reconstruction::kChunk)));
}

std::span<const PolicyEntry> all_policies() {
    static const std::vector<PolicyEntry> entries = [] {
        std::vector<PolicyEntry> all;
        for (const auto& list : kPolicyFiles) {
            const std::span<const PolicyEntry> of_file = list();
            all.insert(all.end(), of_file.begin(), of_file.end());
        }
        std::stable_sort(all.begin(), all.end(),
                         [](const auto& a, const auto& b) { return a.place < b.place; });
        return all;
    }();
    return entries;
}

const PolicyEntry& find_policy(const std::string& name) {
    std::string names;
    for (const PolicyEntry& entry : all_policies()) {
        if (name == entry.name) return entry;
        names += names.empty() ? "" : ", ";
        names += entry.name;
    }
    throw Error(concat("there is no policy '", name, "'; there are ", names));
}

}  // namespace kvlab
