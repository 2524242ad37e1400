#include <kvlab/serving/simulated_steps.hpp>

#include <algorithm>

#include <kvlab/serving/watched_steps.hpp>

namespace kvlab {

KvShape SimulatedSteps::kv_shape() const {
    const Config& c = model_.config;
    return {c.layers, c.heads, c.kv_heads, c.head_dim};
}

std::unique_ptr<PagedCache> SimulatedSteps::make_cache(PagePool& pool) {
    return std::make_unique<PagedCache>(pool, context());
}

// ANCHOR: simulated_run
View<const float> SimulatedSteps::run(std::span<const StepPart> parts) {
    const double seconds = cost_.seconds(step_work(model_, shapes_of(parts)));
    Index pretended = 0;
    try {
        for (; pretended < std::ssize(parts); ++pretended)
            at(parts, pretended).cache->pretend(std::ssize(at(parts, pretended).tokens));
    } catch (...) {  // a pool that has run empty: as if the step had never been
        for (Index i = 0; i < pretended; ++i) {
            PagedCache& cache = *at(parts, i).cache;
            cache.truncate(cache.next_position() - std::ssize(at(parts, i).tokens));
        }
        throw;
    }
    now_ += seconds;
    busy_ += seconds;
    return {};
}

// ANCHOR_END: simulated_run

void SimulatedSteps::wait_until(double seconds) {
    now_ = std::max(now_, seconds);
}

}  // namespace kvlab
