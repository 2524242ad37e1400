// smollm2.hpp - where the tests find the real model.
#pragma once

#include <string>

#include <kvlab/weights/model_path.hpp>

namespace kvlab::test {

// The file's path, looked for in $KVLAB_WEIGHTS and in weights/downloads; "" if it
// is not there.
inline std::string smollm2_path() {
    try {
        return find_model("SmolLM2-135M-Instruct-Q4_1.gguf", KVLAB_SOURCE_DIR "/weights")
            .string();
    } catch (const Error&) {
        return "";
    }
}

inline constexpr const char* kNoSmollm2 =
    "SmolLM2 is not there; weights/get_smollm2.py fetches it";

}  // namespace kvlab::test
