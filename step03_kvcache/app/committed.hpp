// committed.hpp - chapter 3: what `verify` printed for the committed models when the text was
// written. A cached run that equals an uncached one is not yet right: both may be wrong alike.
#pragma once

#include <filesystem>
#include <string>

#include <kvlab/tensor/tensor.hpp>

namespace kvlab::app {

// The three checksums of one model, as 16 hexadecimal digits each.
struct VerifySums {
    std::string steps, prompts, cache;

    bool operator==(const VerifySums&) const = default;
};

// Those of a run with the default prompts, 24 greedy steps. Null unless the file has, byte for
// byte, the content of a model whose values are committed; its name does not matter. Throws
// Error if it cannot be read.
const VerifySums* committed_sums(const std::filesystem::path& model);

}  // namespace kvlab::app
