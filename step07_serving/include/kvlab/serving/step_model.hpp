// step_model.hpp - chapter 7: the seam between who decides what runs next and who runs it.
//
// The scheduler hands over one batch after the other and knows nothing of time. A decoder runs
// them (DecoderSteps), or a model of a machine says how long they would take (simulation).
#pragma once

#include <limits>
#include <memory>
#include <span>

#include <kvlab/serving/paged_cache.hpp>
#include <kvlab/weights/token.hpp>

namespace kvlab {

// One text's part in a step: its next tokens, of which the last `wanted` want logits.
struct StepPart {
    PagedCache* cache;
    std::span<const Token> tokens;  // [T], at least one
    Index wanted;                   // 0: a prompt that is not at its end; 1; or T, with drafts
};

class StepModel {
public:
    virtual ~StepModel() = default;

    // An empty cache for one more text.
    virtual std::unique_ptr<PagedCache> make_cache(PagePool& pool) = 0;

    // Tokens that a text may have, prompt included.
    virtual Index context() const = 0;

    // Tokens are 0 to vocab() - 1.
    virtual Index vocab() const { return std::numeric_limits<Token>::max(); }

    // Feeds all parts in one step. Returns the logits of the wanted rows, part by part
    // [sum of wanted, V], valid until the next call; without rows if this model has no logits:
    // then every token that it is asked for is token 0. Throws Error, with every cache as it
    // was, as Decoder::forward() does.
    virtual View<const float> run(std::span<const StepPart> parts) = 0;

    // Seconds since it was made, in the time that its steps take.
    virtual double now() const = 0;

    // Lets time pass, for there is nothing to do before.
    virtual void wait_until(double seconds) = 0;
};

}  // namespace kvlab
