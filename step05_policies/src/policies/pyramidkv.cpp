// PyramidKV: Cai et al. 2024, section 4.2: SnapKV with more tokens for the lower layers, whose
// attention is spread out, and fewer for the upper ones, where it is not. The authors' code,
// with c = C - W for a budget C and a window W:
//   lowest layer mx = 2c - mn, highest mn = c / beta, both whole; no layer more than the prompt
//   layer l keeps mx - l * floor((mx - mn) / (L - 1)), and the window
// Prompts of less than 2c tokens get the same budget in every layer. Because the step is
// rounded down, the realised mean is above C. Their window is 8 and their pooling a maximum
// over 7; here both are SnapKV's, so that the two differ in nothing but the budgets.
//
// Or, plainer: a share of the prompt for each quarter of the layers, e.g. 1, 1, 1/2, 1/4.
#include <algorithm>
#include <cmath>

#include <kvlab/policies/registry.hpp>

#include "snapkv.hpp"

namespace kvlab {

namespace {

class PyramidKv final : public SnapKv {
public:
    PyramidKv(const PolicyOptions& options, Index layers) : SnapKv(options), layers_(layers) {
        check(layers >= 1, "pyramidkv: a model of ", layers, " layers");
        check(options.beta >= 1, "pyramidkv: beta must be at least 1, found ", options.beta);
        for (const double ratio : options.ratios)
            check(ratio > 0 && ratio <= 1, "pyramidkv: a ratio of ", ratio);
    }

    // ANCHOR: pyramidkv
    Index keep(Index layer, Index n) const override {
        const Index W = options_.window;
        if (!options_.ratios.empty()) {
            const auto ratios = std::ssize(options_.ratios);
            const double ratio = at(options_.ratios, layer * ratios / layers_);
            return std::max(W, static_cast<Index>(std::ceil(ratio * static_cast<double>(n))));
        }
        const Index C = SnapKv::keep(layer, n);
        // SOLUTION-BEGIN 5.3
        const Index c = C - W;
        if (n < 2 * c || layers_ == 1) return C;
        Index least = c / options_.beta, most = 2 * c - least;
        if (most >= n - W) {
            most = n - W;
            least = 2 * c - most;
        }
        return W + most - layer * ((most - least) / (layers_ - 1));
        // SOLUTION-END 5.3
    }

    // ANCHOR_END: pyramidkv

private:
    Index layers_;
};

}  // namespace

PolicyPointer pyramidkv_policy(const PolicyOptions& options, Index layers) {
    return std::make_shared<PyramidKv>(options, layers);
}

std::span<const PolicyEntry> policies_of_pyramidkv() {
    static constexpr PolicyEntry kEntries[] = {
        {.place = 100,
         .name = "pyramidkv",
         .idea = "the same, more in lower layers",
         .paper = "Cai et al. 2024, 2406.02069",
         .policy =
             [](const PolicyOptions& options, const PolicyContext& context) {
                 return pyramidkv_policy(options, context.shape.layers);
             },
         .streams = false,
         .budget_above = budget_above_window},
        {.place = 110,
         .name = "pyramidkv-ratios",
         .idea = "the same, by a share of the prompt for each quarter of the layers",
         .paper = "Cai et al. 2024, 2406.02069",
         .policy =
             [](const PolicyOptions& options, const PolicyContext& context) {
                 PolicyOptions own = options;
                 if (own.ratios.empty()) own.ratios = {1, 1, 0.5, 0.25};
                 return pyramidkv_policy(own, context.shape.layers);
             },
         .streams = false,
         .has_budget = false}};
    return kEntries;
}

}  // namespace kvlab
