// low_rank.hpp - chapter 6: keys and values in fewer directions than they have numbers (LoRC,
// Zhang et al. 2024; Palu, Chang et al. 2024).
//
// The keys of all heads are k = W x with W [N, C], N = Hkv D. The best matrix of rank r in its
// place is U Ut W, U [N, r] with orthonormal columns: the first r left singular vectors of W.
//
//   c = Ut k       r numbers a token, kept instead of N
//   k' = U c       made again when attention reads; = U Ut W x
//
// So a store can do it by itself, with k in hand. (A model made for this multiplies x by Ut W
// at once, and never has k.)
//
// What matters is not the error of W but that of W x. With the calibration's inputs X [R, C]:
// among all U of r columns, those of W L, where L Lt = Xt X, make |(W - U Ut W)
// Xt| smallest: "whitened".
#pragma once

#include <vector>

#include <kvlab/attention/config.hpp>
#include <kvlab/quant/calibration.hpp>
#include <kvlab/quant/linear_algebra.hpp>

namespace kvlab {

// The directions of one layer's keys, or values, most important first.
struct Basis {
    Index size = 0;               // N
    std::vector<double> u;        // [N, N]
    std::vector<double> values;   // [N] singular values of W, or of W L
    double weight_condition = 1;  // largest by smallest singular value of W itself
};

// By layer and side.
struct Bases {
    std::vector<Basis> keys, values;  // [L]
};

// Of a llama model's attn_k and attn_v; whitened if the calibration is given, which must have
// the gram of these tensors. Throws Error for gpt2, whose projections have biases.
Bases find_bases(const WeightSource& weights, const Calibration* seen = nullptr);

// The options of a calibration that find_bases() can use.
CalibrationOptions low_rank_calibration();

// Share of the squared singular values that the first `rank` have.
double energy(const Basis& basis, Index rank);

// |(W - U Ut W) Xt| / |W Xt|, Frobenius, from gram = Xt X [C, C], for every rank from 0 to N.
std::vector<double> output_errors(const Basis& basis,
                                  const Tensor& w,
                                  std::span<const double> gram);

// LoRC's ranks by layer: an error in an early layer passes through all later ones, so a layer's
// rank rises from `least` to `most` with the logarithm of the product of the condition numbers
// of its W_k and W_v and of all later ones.
std::vector<Index> progressive_ranks(const Bases& bases, Index least, Index most);

}  // namespace kvlab
