// Oracle: the ceiling. Keep the tokens that the queries to come will give the most attention
// to, as they did when the text was run with everything kept. It is a ceiling in attention's
// terms: what the model makes of it is another question.
#include <kvlab/policies/registry.hpp>

namespace kvlab {

namespace {

class Oracle final : public Policy {
public:
    Oracle(const PolicyOptions& options, std::shared_ptr<const FutureShares> future)
        : options_(options), future_(std::move(future)) {
        tokens_to_keep(options, 1);
    }

    Index keep(Index, Index seen) const override { return tokens_to_keep(options_, seen); }

    void rate(const HeadSlots& head, std::span<float> ratings) const override {
        for (Index s = 0; s < head.slots(); ++s)
            at(ratings, s) =
                future_->share(head.layer, head.kv_head, head.position(s), head.next);
    }

private:
    PolicyOptions options_;
    std::shared_ptr<const FutureShares> future_;
};

}  // namespace

PolicyPointer oracle_policy(const PolicyOptions& options,
                            std::shared_ptr<const FutureShares> future) {
    check(future != nullptr, "oracle: the future of the text is not given");
    return std::make_shared<Oracle>(options, std::move(future));
}

std::span<const PolicyEntry> policies_of_oracle() {
    static constexpr PolicyEntry kEntries[] = {
        {.place = 160,
         .name = "oracle",
         .idea = "those that later queries will look at: the ceiling",
         .paper = "",
         .policy = [](const PolicyOptions& options, const PolicyContext& context)
             -> PolicyPointer { return std::make_shared<Oracle>(options, context.future); },
         .needs_future = true}};
    return kEntries;
}

}  // namespace kvlab
