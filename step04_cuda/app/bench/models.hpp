// models.hpp - chapter 4: the decoders whose tokens are timed: model files, and shapes with
// random weights, since a large file is not everywhere, and time does not depend on the values.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <kvlab/attention/decoder.hpp>
#include <kvlab/weights/weight_source.hpp>

#include "bench.hpp"

namespace kvlab::app {

struct ModelChoice {
    std::string name;  // "tiny", "smollm2 Q8_0"
    std::function<std::unique_ptr<WeightSource>()> open;
};

// What the flags ask for, in that order. The sizes are smaller ones if the bench is small.
std::vector<ModelChoice> chosen_models(const Bench& bench);

}  // namespace kvlab::app
