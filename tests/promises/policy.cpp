// Strided: the last tokens, and of those before them every n-th, the newest first: attention in
// strides (Child et al. 2019, Generating Long Sequences with Sparse Transformers, section 4.2),
// used here on a model that was not trained for it. Position alone decides.
//
//   --stride 4, 10 of 24 tokens stay, 5 of them recent:
//   [0] 1 2 3 [4] 5 6 7 [8] 9 10 11 [12] 13 14 15 [16] 17 18 [19 20 21 22 23]
//
// An example, and a test: tests/tools/promises_test.py adds it to a copy of the tree.
#include <kvlab/policies/registry.hpp>

namespace kvlab {

namespace {

constexpr OwnOption kStride{"stride", "of how many older tokens one stays", 4, 1, 1024};

class Strided final : public Policy {
public:
    explicit Strided(const PolicyOptions& options)
        : options_(options),
          stride_(static_cast<Index>(options.own_or(kStride.name, kStride.value))) {
        tokens_to_keep(options, 1);
        check_recent(options, "strided");
        check(stride_ >= 1, "strided: a stride of ", stride_);
    }

    Index keep(Index, Index seen) const override { return tokens_to_keep(options_, seen); }

    // Newer is better; one at a stride is better than all that are not.
    void rate(const HeadSlots& head, std::span<float> ratings) const override {
        for (std::size_t s = 0; s < ratings.size(); ++s) {
            const Index position = head.positions[s];
            ratings[s] =
                static_cast<float>(position % stride_ == 0 ? head.next + position : position);
        }
        protect_last(head, recent_tokens(head.next), ratings);
    }

private:
    Index recent_tokens(Index seen) const {
        return options_.recent >= 0 ? options_.recent : tokens_to_keep(options_, seen) / 2;
    }

    PolicyOptions options_;
    Index stride_;
};

}  // namespace

std::span<const PolicyEntry> policies_of_strided() {
    static constexpr OwnOption kOptions[] = {kStride};
    static constexpr PolicyEntry kEntries[] = {
        {.place = 45,
         .name = "strided",
         .idea = "the last tokens, and every n-th before them",
         .paper = "Child et al. 2019, 1904.10509",
         .policy = [](const PolicyOptions& options, const PolicyContext&) -> PolicyPointer {
             return std::make_shared<Strided>(options);
         },
         .budget_above = budget_above_recent,
         .own_options = kOptions}};
    return kEntries;
}

}  // namespace kvlab
