#include <kvlab/serving/ways.hpp>

namespace kvlab {

namespace {

// ANCHOR: ways
constexpr Way kWays[] = {
    {"one-by-one", "each request alone, to its end", Batching::one_by_one, false, false, false},
    {"static", "as many as fit, all until the last one's end", Batching::static_batches, false,
     false, false},
    {"continuous", "a request comes and goes at any step", Batching::continuous, false, false,
     false},
    {"prefixes", "and uses pages of an earlier one that began alike", Batching::continuous,
     true, false, false},
    {"chunked", "and a long prompt comes in pieces", Batching::continuous, true, true, false},
    {"speculation", "and tokens are guessed first", Batching::continuous, true, true, true}};
// ANCHOR_END: ways

}  // namespace

SchedulerOptions Way::options(SchedulerOptions options) const {
    options.batching = batching;
    options.chunked = chunked;
    if (!speculation) options.draft_tokens = 0;
    return options;
}

std::span<const Way> serving_ways() {
    return kWays;
}

const Way& find_way(const std::string& name) {
    std::string names;
    for (const Way& way : kWays) {
        if (name == way.name) return way;
        names += concat(names.empty() ? "" : ", ", way.name);
    }
    throw Error(concat("no such way to serve: '", name, "'; there are ", names));
}

}  // namespace kvlab
