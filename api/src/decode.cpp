#include "decode.hpp"

#include <algorithm>
#include <optional>

namespace kvlab::api {

void check_tokens(const Config& config, const Token* tokens, Index T) {
    require_array(tokens, "tokens", {T});
    require(T >= 1, "tokens: expected at least 1, found ", T);
    for (Index t = 0; t < T; ++t)
        require(tokens[t] >= 0 && tokens[t] < config.vocab, "token ", t, " of ", T,
                ": expected 0 to ", config.vocab - 1, ", found ", tokens[t]);
}

void run(Decoder& decoder,
         KvStore& store,
         std::span<const Token> tokens,
         LogitsOf rows,
         kvlab_recording recording,
         float* logits,
         Index floats) {
    const Index n = rows == LogitsOf::all ? std::ssize(tokens) : 1, V = decoder.config().vocab;
    require_array(logits, "logits", {floats});
    require(floats == n * V, "floats: expected ", n * V, " for ", Shape{n, V}, ", found ",
            floats);
    if (recording.id == 0) {
        std::copy_n(decoder.forward(store, tokens, rows).data(), floats, logits);
        return;
    }
    const auto into = recordings().find(recording.id);
    const Index D = decoder.config().head_dim;
    require(into->head_dim == 0 || into->head_dim == D, "recording: expected head_dim ", D,
            " or 0, found ", into->head_dim);
    // A step that cannot be recorded must not be run: the cache would have it,
    // the recording not.
    const std::lock_guard lock(into->mutex);
    require(into->open.empty(), "recording: a step is open, end it first");
    into->steps.reserve(into->steps.size() + 1);
    into->tokens.reserve(into->tokens.size() + 1);
    Recorder recorder;
    const Observing watched(decoder, recorder);
    std::copy_n(decoder.forward(store, tokens, rows).data(), floats, logits);
    into->steps.push_back(recorder.take());
    into->tokens.push_back(-1);
}

}  // namespace kvlab::api
