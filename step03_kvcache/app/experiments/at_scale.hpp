// at_scale.hpp - chapter 3: the closed forms for models that do not fit here.
#pragma once

#include <kvlab/tensor/report.hpp>

namespace kvlab::app {

// Experiments D3 and D6: prints what the cache takes beside the weights of a 7B model, and from
// which context on it is the larger of the two, there and for other models; adds
// it to `report`.
void print_memory_at_scale(Json& report);

}  // namespace kvlab::app
