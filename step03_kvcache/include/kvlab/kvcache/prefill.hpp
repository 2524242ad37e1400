// prefill.hpp - chapter 3: feeding a prompt to a cache, whole or in pieces, with the same bits.
#pragma once

#include <kvlab/attention/decoder.hpp>

namespace kvlab {

// Feeds `tokens` to the store in pieces of at most `chunk` tokens (0: all at once), and returns
// the logits of the last token [1, V], valid until the decoder's next step. A long prompt in
// pieces needs activations for one piece only. Throws Error for no tokens, a negative chunk, no
// room (then nothing has changed), and for chunks with a store that does not remember.
View<const float> prefill(Decoder& decoder,
                          KvStore& store,
                          std::span<const Token> tokens,
                          Index chunk = 0);

}  // namespace kvlab
