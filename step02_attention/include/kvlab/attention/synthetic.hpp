// synthetic.hpp - chapter 2: weights of any shape from a seed, for tests and for timing.
#pragma once

#include <memory>

#include <kvlab/attention/config.hpp>
#include <kvlab/weights/weight_source.hpp>

namespace kvlab {

// Every tensor of `config`, under GGUF's names, as F32. Matrices have standard deviation
// 1 / sqrt(depth), embeddings 1, norm scales are near 1: attention is SHARP, as in a trained
// model. (With the usual 0.02 it is nearly flat, and most wrong caches go unnoticed.) The same
// config and seed give the same bits everywhere.
std::unique_ptr<WeightSource> make_synthetic(const Config& config, std::uint64_t seed);

}  // namespace kvlab
