// model_path.hpp - where a model named on the command line is.
#pragma once

#include <filesystem>
#include <string>

namespace kvlab {

// The first file of: `name` as given (a device or a pipe, too, but no folder); then `name`,
// `name`.gguf and both again under downloads/, in $KVLAB_WEIGHTS, in `source_weights` (the
// weights/ folder of the source tree; may be empty) and in ../share/kvlab beside the running
// program. Throws Error with the folders that were searched if there is none.
std::filesystem::path find_model(const std::string& name,
                                 const std::filesystem::path& source_weights);

}  // namespace kvlab
