// draw_model.hpp - chapter 8: weights of any mixers from a seed, for tests and for timing.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <kvlab/attention/config.hpp>
#include <kvlab/weights/weight_source.hpp>

namespace kvlab {

// A model's file as it would be read: `mixers` are one for each of config.layers, `keys` the
// numbers that they have, without "kvlab.", `kv_layer` unless empty the layer whose rows each
// reads. Numbers are drawn as chapter 2 draws them, and decays so that they decay. Throws Error
// as load_mixed_model() does.
std::unique_ptr<WeightSource> draw_mixed_model(
    const Config& config,
    const std::vector<std::string>& mixers,
    const std::vector<std::pair<std::string, Index>>& keys,
    std::uint64_t seed,
    const std::vector<std::int32_t>& kv_layer = {});

}  // namespace kvlab
