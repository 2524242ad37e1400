#include <kvlab/policies/registry.hpp>

#include <kvlab/policies/mini_cache.hpp>
#include <kvlab/policies/quest_cache.hpp>

namespace kvlab {

namespace {

using Store = std::unique_ptr<PolicyStore>;

Store in_slots(const PolicyContext& context,
               PolicyPointer policy,
               PositionScheme scheme = PositionScheme::absolute) {
    SlotCacheOptions options{context.reduce, scheme, context.prompt};
    if (context.make_rows) options.make_rows = context.make_rows;
    return std::make_unique<SlotCache>(context.shape, context.capacity, std::move(policy),
                                       options, context.rope, context.level);
}

void check_floats(const PolicyContext& context, const char* name) {
    check(!context.make_rows, name, ": its store keeps floats and nothing else");
}

constexpr PolicyEntry kPolicies[] = {
    {"full", "everything", "", true,
     [](const PolicyContext& c, const PolicyOptions&) { return in_slots(c, full_policy()); }},
    {"window", "the last tokens", "Beltagy et al. 2020, 2004.05150", true,
     [](const PolicyContext& c, const PolicyOptions& o) {
         return in_slots(c, window_policy(o));
     }},
    {"sinks", "the first and the last tokens", "Xiao et al. 2023, 2309.17453", true,
     [](const PolicyContext& c, const PolicyOptions& o) {
         return in_slots(c, sinks_policy(o));
     }},
    {"sinks-relative", "the same, positions counted in the cache",
     "Xiao et al. 2023, 2309.17453", true,
     [](const PolicyContext& c, const PolicyOptions& o) {
         return in_slots(c, sinks_policy(o), PositionScheme::relative);
     }},
    {"h2o", "the last tokens and those with the most attention so far",
     "Zhang et al. 2023, 2306.14048", true,
     [](const PolicyContext& c, const PolicyOptions& o) {
         PolicyOptions own = o;
         own.forget.reset();  // it is h2o-forgetting's alone
         return in_slots(c, h2o_policy(own));
     }},
    {"h2o-mean", "the same, attention per query that could see the token",
     "Zhang et al. 2023, 2306.14048", true,
     [](const PolicyContext& c, const PolicyOptions& o) {
         PolicyOptions own = o;
         own.normalise = true;
         own.forget.reset();
         return in_slots(c, h2o_policy(own));
     }},
    {"h2o-forgetting", "the same, and the past fades", "Jo and Shin 2024, 2407.20485", true,
     [](const PolicyContext& c, const PolicyOptions& o) {
         PolicyOptions own = o;
         own.forget = o.forget.value_or(0.99f);
         return in_slots(c, h2o_policy(own));
     }},
    {"tova", "those that the last query looks at most", "Oren et al. 2024, 2401.06104", true,
     [](const PolicyContext& c, const PolicyOptions& o) {
         return in_slots(c, tova_policy(o));
     }},
    {"snapkv", "once: those that the end of the prompt looks at", "Li et al. 2024, 2404.14469",
     false,
     [](const PolicyContext& c, const PolicyOptions& o) {
         return in_slots(c, snapkv_policy(o));
     }},
    {"pyramidkv", "the same, more in lower layers", "Cai et al. 2024, 2406.02069", false,
     [](const PolicyContext& c, const PolicyOptions& o) {
         return in_slots(c, pyramidkv_policy(o, c.shape.layers));
     }},
    {"pyramidkv-ratios", "the same, by a share of the prompt for each quarter of the layers",
     "Cai et al. 2024, 2406.02069", false,
     [](const PolicyContext& c, const PolicyOptions& o) {
         PolicyOptions own = o;
         if (own.ratios.empty()) own.ratios = {1, 1, 0.5, 0.25};
         return in_slots(c, pyramidkv_policy(own, c.shape.layers));
     }},
    {"key-norm", "the shortest keys", "Devoto et al. 2024, 2406.11430", true,
     [](const PolicyContext& c, const PolicyOptions& o) {
         return in_slots(c, key_norm_policy(o));
     }},
    {"scissorhands", "those that recent queries gave more than an even share",
     "Liu et al. 2023, 2305.17118", true,
     [](const PolicyContext& c, const PolicyOptions& o) {
         return in_slots(c, scissorhands_policy(o));
     }},
    {"keyformer", "as h2o, of noisy scores at a rising temperature",
     "Adnan et al. 2024, 2403.09054", true,
     [](const PolicyContext& c, const PolicyOptions& o) {
         return in_slots(c, keyformer_policy(o));
     }},
    {"random", "any: the floor", "", true,
     [](const PolicyContext& c, const PolicyOptions& o) {
         return in_slots(c, random_policy(o));
     }},
    {"oracle", "those that later queries will look at: the ceiling", "", true,
     [](const PolicyContext& c, const PolicyOptions& o) {
         return in_slots(c, oracle_policy(o, c.future));
     }},
    {"quest", "everything; of it, only the promising pages are read",
     "Tang et al. 2024, 2406.10774", true,
     [](const PolicyContext& c, const PolicyOptions& o) -> Store {
         check_floats(c, "quest");
         return std::make_unique<QuestCache>(c.shape, c.capacity, o, c.level);
     }},
    {"minicache", "everything; pairs of layers share a direction",
     "Liu et al. 2024, 2405.14366", true,
     [](const PolicyContext& c, const PolicyOptions& o) -> Store {
         check_floats(c, "minicache");
         return std::make_unique<MiniCache>(c.shape, c.capacity, o, c.level);
     }},
};

}  // namespace

PolicyContext policy_context(const Decoder& decoder, Index capacity) {
    PolicyContext context;
    context.shape = decoder.kv_shape();
    context.capacity = capacity;
    if (decoder.model().rope.positions() > 0) context.rope = &decoder.model().rope;
    return context;
}

std::span<const PolicyEntry> all_policies() {
    return kPolicies;
}

const PolicyEntry& find_policy(const std::string& name) {
    std::string names;
    for (const PolicyEntry& entry : kPolicies) {
        if (name == entry.name) return entry;
        names += names.empty() ? "" : ", ";
        names += entry.name;
    }
    throw Error(concat("there is no policy '", name, "'; there are ", names));
}

}  // namespace kvlab
