// open_model.hpp - the file that a user of kvlab_weights means.
#pragma once

#include <string>

#include <kvlab/weights/gguf_file.hpp>
#include <kvlab/weights/model_path.hpp>

namespace kvlab::app {

// A path, or a name that find_model() knows, in the source's weights/ too. Throws Error.
inline GgufFile open_model(const std::string& name) {
    return GgufFile::open(find_model(name, KVLAB_SOURCE_WEIGHTS));
}

}  // namespace kvlab::app
