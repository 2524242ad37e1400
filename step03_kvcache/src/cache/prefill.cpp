#include <kvlab/kvcache/prefill.hpp>

#include <algorithm>

namespace kvlab {

// ANCHOR: prefill
View<const float> prefill(Decoder& decoder,
                          KvStore& store,
                          std::span<const Token> tokens,
                          Index chunk) {
    const Index T = std::ssize(tokens);
    check(T >= 1, "prefill: no tokens");
    check(chunk >= 0, "prefill: a chunk must not be negative, found ", chunk);
    check(T <= store.room(), "prefill: ", T, " tokens do not fit: the store has room for ",
          store.room());
    check(store.remembers() || chunk == 0 || chunk >= T,
          "prefill: this store does not remember, so a prompt cannot be fed in pieces");
    // SOLUTION-BEGIN 3.3
    const Index piece = chunk == 0 ? T : chunk;
    View<const float> logits;
    for (Index begin = 0; begin < T; begin += piece) {
        const Index count = std::min(piece, T - begin);
        logits = decoder.forward(store, tokens.subspan(usize(begin), usize(count)));
    }
    return logits;
    // SOLUTION-END 3.3
}

// ANCHOR_END: prefill

}  // namespace kvlab
