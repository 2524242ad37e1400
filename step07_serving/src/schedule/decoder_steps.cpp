#include <kvlab/serving/decoder_steps.hpp>

#include <chrono>
#include <thread>

namespace kvlab {

DecoderSteps::DecoderSteps(Decoder& decoder, SimdLevel level)
    : decoder_(decoder), level_(level) {}

std::unique_ptr<PagedCache> DecoderSteps::make_cache(PagePool& pool) {
    const bool rotates = decoder_.config().architecture == Architecture::llama;
    return std::make_unique<PagedCache>(pool, context(),
                                        rotates ? &decoder_.model().rope : nullptr, level_);
}

Index DecoderSteps::context() const {
    return decoder_.config().context;
}

Index DecoderSteps::vocab() const {
    return decoder_.config().vocab;
}

View<const float> DecoderSteps::run(std::span<const StepPart> parts) {
    batch_.clear();
    for (const StepPart& part : parts) {
        const Index T = std::ssize(part.tokens);
        check(part.wanted == 0 || part.wanted == 1 || part.wanted == T, "decoder steps: of ", T,
              " tokens none, the last or all may want logits, found ", part.wanted);
        const LogitsOf logits = part.wanted == 0   ? LogitsOf::none
                                : part.wanted == T ? LogitsOf::all
                                                   : LogitsOf::last;
        batch_.push_back({part.cache, part.tokens, logits});
    }
    return decoder_.forward(batch_);
}

double DecoderSteps::now() const {
    return watch_.seconds();
}

void DecoderSteps::wait_until(double seconds) {
    for (;;) {
        const double left = seconds - now();
        if (left <= 0) return;
        // A counting clock goes on by being read.
        if (!counting_clock()) std::this_thread::sleep_for(std::chrono::duration<double>(left));
    }
}

}  // namespace kvlab
