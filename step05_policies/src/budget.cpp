// What policies say about how much stays.
#include <algorithm>
#include <cmath>

#include <kvlab/policies/policies.hpp>

namespace kvlab {

Index tokens_to_keep(const PolicyOptions& options, Index seen) {
    if (options.ratio == 0) {
        check(options.budget >= 1, "policy: a budget of ", options.budget, " tokens");
        return options.budget;
    }
    check(options.ratio > 0 && options.ratio <= 1, "policy: a ratio of ", options.ratio);
    return std::max<Index>(
        1, static_cast<Index>(std::ceil(options.ratio * static_cast<double>(seen))));
}

Index budget_above_recent(const PolicyOptions& options) {
    return std::max<Index>(0, options.recent - 1);
}

Index budget_above_window(const PolicyOptions& options) {
    return options.window;
}

Index budget_above_sinks(const PolicyOptions& options) {
    return std::max<Index>(0, options.sinks - 1);
}

void check_recent(const PolicyOptions& options, const char* policy) {
    check(options.ratio > 0 || options.recent <= options.budget, policy, ": ", options.recent,
          " recent tokens in a budget of ", options.budget);
}

void check_sinks(const PolicyOptions& options, const char* policy) {
    const Index kept = tokens_to_keep(options, 1);  // refuses what is no budget or ratio
    check(options.sinks >= 0 && (options.ratio > 0 || options.sinks <= kept), policy, ": ",
          options.sinks, " sinks in a budget of ", options.budget);
}

}  // namespace kvlab
