// TOVA: Oren et al. 2024, Transformers are Multi-State RNNs, section 4: after each step keep
// the tokens that its last query gave the most attention to, the mean over all heads of the
// layer. Nothing is remembered and nothing is protected, the newest token included.
#include <algorithm>

#include <kvlab/policies/registry.hpp>

namespace kvlab {

namespace {

class Tova final : public Policy {
public:
    explicit Tova(const PolicyOptions& options) : options_(options) {
        tokens_to_keep(options, 1);
    }

    Index keep(Index, Index seen) const override { return tokens_to_keep(options_, seen); }

    Index observed() const override { return 1; }

    bool per_layer() const override { return true; }

    Index state_rows() const override { return 1; }

    void observe(const HeadSlots& head, Index, std::span<const float> shares) const override {
        std::copy(shares.begin(), shares.end(), head.row(0));
    }

    void rate(const HeadSlots& head, std::span<float> ratings) const override {
        std::copy_n(head.row(0), head.slots(), ratings.begin());
    }

private:
    PolicyOptions options_;
};

}  // namespace

PolicyPointer tova_policy(const PolicyOptions& options) {
    return std::make_shared<Tova>(options);
}

std::span<const PolicyEntry> policies_of_tova() {
    static constexpr PolicyEntry kEntries[] = {
        {.place = 80,
         .name = "tova",
         .idea = "those that the last query looks at most",
         .paper = "Oren et al. 2024, 2401.06104",
         .policy = [](const PolicyOptions& options, const PolicyContext&) {
             return tova_policy(options);
         }}};
    return kEntries;
}

}  // namespace kvlab
