// mixed_model.hpp - chapter 8: a model whose layers have mixers: a llama model's frame
// (embedding, norms, feed-forward parts, output matrix) and one mixer for each layer.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <kvlab/architectures/mixer.hpp>
#include <kvlab/attention/model.hpp>
#include <kvlab/weights/weight_source.hpp>

namespace kvlab {

struct MixedModel {
    std::shared_ptr<const Model> frame;          // its layers have no attention of their own
    std::vector<std::string> names;              // [L] of the mixers, as the file has them
    std::vector<std::unique_ptr<Mixer>> mixers;  // [L]

    // Bytes that a text of `length` tokens leaves behind: the closed forms of all layers.
    Index state_bytes(Index length) const;
};

// Whether a source is such a model: general.architecture is "kvlab".
bool is_mixed_model(const WeightSource& source);

// `context`, unless 0, replaces the file's: how far positions go. Throws Error, naming the file
// and the field, for unknown mixers, keys, tensors, or shapes that do not fit together, and for
// an engine that does not work in the caller's memory.
std::shared_ptr<const MixedModel> load_mixed_model(const WeightSource& source,
                                                   Engine& engine,
                                                   Index context = 0);

}  // namespace kvlab
