// decode.hpp - one step of the decoder for a caller of the C interface.
#pragma once

#include "handles.hpp"

namespace kvlab::api {

// Throws unless there are T tokens, at least one, all of them in the vocabulary.
void check_tokens(const Config& config, const Token* tokens, Index T);

// Runs the tokens, records the step if there is a recording, and copies the logits. Throws,
// with the store as it was, unless there is room for exactly these logits.
void run(Decoder& decoder,
         KvStore& store,
         std::span<const Token> tokens,
         LogitsOf rows,
         kvlab_recording recording,
         float* logits,
         Index floats);

}  // namespace kvlab::api
