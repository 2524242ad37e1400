// chunked_sum.hpp - chapter 8: what a parallel scan would do to the bits.
//
// s[t] = decay[t] s[t-1] + u[t] runs one token after the other. Others compute it in parts at
// the same time: each chunk from a state of zero, beside the product of its decays; then what
// the chunks before left is added, times that product:
//   s[t] = fma(decays so far in the chunk, s before the chunk, s[t] of the chunk alone)
// In exact arithmetic that is the same. In floats it is another order of roundings, and where
// chunks begin decides about the last bits: so no mixer here works like this.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>

#include <kvlab/tensor/error.hpp>
#include <kvlab/tensor/sizes.hpp>

namespace kvlab {

// states[t] for all t, from chunks of `chunk` tokens. With one chunk for all it is the order of
// tokens: the decaying sum of the contract. Throws Error unless the three have one length.
inline void chunked_sum(std::span<const float> decay,
                        std::span<const float> u,
                        Index chunk,
                        std::span<float> states) {
    check(chunk > 0, "chunked sum: chunk: expected at least 1, found ", chunk);
    check(decay.size() == u.size() && states.size() == u.size(), "chunked sum: ", decay.size(),
          " decays and ", u.size(), " inputs for ", states.size(), " states");
    float before = 0.0f;
    for (Index first = 0; first < std::ssize(u); first += chunk) {
        float alone = 0.0f, product = 1.0f;
        for (Index t = first; t < std::ssize(u) && t < first + chunk; ++t) {
            alone = std::fma(at(decay, t), alone, at(u, t));
            product = product * at(decay, t);
            at(states, t) = first == 0 ? alone : std::fma(product, before, alone);
        }
        before = at(states, std::min(std::ssize(u), first + chunk) - 1);
    }
}

}  // namespace kvlab
