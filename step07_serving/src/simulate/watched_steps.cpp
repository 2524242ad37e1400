#include <kvlab/serving/watched_steps.hpp>

namespace kvlab {

std::vector<StepShape> shapes_of(std::span<const StepPart> parts) {
    std::vector<StepShape> shapes;
    for (const StepPart& part : parts)
        shapes.push_back({part.cache->next_position(), std::ssize(part.tokens), part.wanted});
    return shapes;
}

View<const float> WatchedSteps::run(std::span<const StepPart> parts) {
    std::vector<StepShape> shapes = shapes_of(parts);
    const View<const float> logits = watched_.run(parts);
    last_ = std::move(shapes);
    if (after_) after_(parts);
    return logits;
}

}  // namespace kvlab
