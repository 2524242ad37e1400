// KVzip: Kim et al. 2025, sections 3.2 and 3.3. Once, after the prompt: a token's rating is the
// largest share of attention that it got while the model repeated the prompt
// (reconstruction.hpp). All heads of all layers share one budget by their ratings, without a
// floor; the first tokens always stay, as in kvpress.
//
// The paper asks for the repetition in words ("Repeat the previous context:"). The models here
// follow no instructions, and are fed the prompt once more as it is: a model that copies from
// what it has seen looks at the same tokens. Shares are those of attention over everything
// held, not over the chunk alone. And since a store never sees tokens, whoever makes it runs
// the passes before; a store that could would not run the prompt itself twice.
#include <kvlab/policies/allotment.hpp>
#include <kvlab/policies/registry.hpp>

namespace kvlab {

namespace {

constexpr OwnOption kZipOptions[] = {
    {"chunk", "tokens that are repeated in one pass", Reconstruction::kChunk, 1, 1 << 16}};

class KvZip final : public Policy {
public:
    KvZip(const PolicyOptions& options, std::shared_ptr<const Reconstruction> reconstruction)
        : options_(options), reconstruction_(std::move(reconstruction)) {
        check_sinks(options, "kvzip");
    }

    Index keep(Index, Index seen) const override {
        return std::max(options_.sinks, tokens_to_keep(options_, seen));
    }

    bool once() const override { return true; }

    bool allots() const override { return true; }

    void allot(std::span<const RatedHead> heads, std::span<Index> budgets) const override {
        allot_jointly(heads, 0, budgets);
    }

    void rate(const HeadSlots& head, std::span<float> ratings) const override {
        check(head.next <= reconstruction_->prompt(), "kvzip: a prompt of ", head.next,
              " tokens, of which ", reconstruction_->prompt(), " were repeated");
        for (Index s = 0; s < head.slots(); ++s)
            at(ratings, s) =
                head.position(s) < options_.sinks
                    ? kProtected
                    : reconstruction_->share(head.layer, head.kv_head, head.position(s));
    }

private:
    PolicyOptions options_;
    std::shared_ptr<const Reconstruction> reconstruction_;
};

}  // namespace

PolicyPointer kvzip_policy(const PolicyOptions& options,
                           std::shared_ptr<const Reconstruction> reconstruction) {
    check(reconstruction != nullptr, "kvzip: nobody has repeated the prompt");
    return std::make_shared<KvZip>(options, std::move(reconstruction));
}

std::span<const PolicyEntry> policies_of_kvzip() {
    static constexpr PolicyEntry kEntries[] = {
        {.place = 117,
         .name = "kvzip",
         .idea = "once: those that the model needs to repeat the prompt; all heads share",
         .paper = "Kim et al. 2025, 2505.23416",
         .policy = [](const PolicyOptions& options,
                      const PolicyContext& context) -> PolicyPointer {
             return std::make_shared<KvZip>(options, context.reconstruction);
         },
         .reconstructs = true,
         .streams = false,
         .budget_above = budget_above_sinks,
         .own_options = kZipOptions}};
    return kEntries;
}

}  // namespace kvlab
