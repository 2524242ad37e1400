// smooth.hpp - chapter 6: SmoothQuant (Xiao et al. 2022): large activations made small, by
// making weights large.
//
// A token's scale is set by its largest channel. If one channel is 20 times the others, they
// have 6 of the 127 steps left. Dividing that channel by s and multiplying its column of the
// matrix by s changes no product:
//
//   sum over c of x[c] * w[n][c]  =  sum over c of (x[c] / s[c]) * (w[n][c] * s[c])
//
// and x[c] / s[c] costs nothing where x comes out of a norm, whose weights can
// be divided beforehand.
#pragma once

#include <string>
#include <vector>

#include <kvlab/quant/calibration.hpp>
#include <kvlab/quant/edited_weights.hpp>

namespace kvlab {

struct SmoothOptions {
    // s[c] = max|x[c]|^alpha / max|w[c]|^(1 - alpha), both at least 1e-5; the second maximum is
    // over all matrices that read x. 0 makes the columns even, 1 the channels.
    double alpha = 0.5;
    // Rounds each s to a power of two: then the products are the same bit by bit.
    bool powers_of_two = false;
    // Smooth the inputs of out and down, too (llama only). No norm stands before them; what
    // makes the channel is scaled instead: a row of v, whose sum over slots is linear, or a row
    // of up, which is a factor of the hidden channel. Query heads that share a v share an s.
    bool inner = false;
};

// The s of one channel: of inputs up to x and weights up to w.
float smoothing_scale(float x, float w, const SmoothOptions& options);

// Scales norms and matrices of `weights` by what `seen` says of their inputs; `seen` must come
// from a model of the same numbers. Throws Error for an alpha outside of [0, 1], and for
// `inner` with gpt2.
void smooth(EditedWeights& weights, const Calibration& seen, const SmoothOptions& options = {});

// The opposite, to have something to smooth: makes channel `channel` behind both norms of each
// layer `factor` times larger and the columns that read it as much smaller. Small models lack
// such channels; large ones have them by themselves (Dettmers et al. 2022). The model stays the
// same up to rounding. Throws Error for a channel outside of the model's width, or a factor
// that is not positive.
void inject_outlier(EditedWeights& weights, Index channel, float factor);

}  // namespace kvlab
