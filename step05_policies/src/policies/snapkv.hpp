// snapkv.hpp - chapter 5: SnapKV, of which PyramidKV is the same with other budgets.
#pragma once

#include <kvlab/policies/policies.hpp>

namespace kvlab {

// The last W tokens of the prompt stay; a token before them is rated by what their queries gave
// to it and, pooled, to its neighbours.
class SnapKv : public Policy {
public:
    explicit SnapKv(const PolicyOptions& options);

    Index keep(Index layer, Index seen) const override;

    bool once() const override { return true; }

    Index observed() const override { return options_.window; }

    Index state_rows() const override { return 1; }

    void observe(const HeadSlots& head, Index, std::span<const float> shares) const override;
    void rate(const HeadSlots& head, std::span<float> ratings) const override;

protected:
    PolicyOptions options_;
};

}  // namespace kvlab
