#include <kvlab/serving/alone.hpp>

#include <algorithm>

#include <kvlab/kvcache/kv_cache.hpp>

namespace kvlab {

Alone serve_alone(Decoder& decoder, const Request& request, const MakeRows& rows) {
    const bool rotates = decoder.config().architecture == Architecture::llama;
    const Index longest = std::ssize(request.prompt) + request.max_tokens;
    KvCache cache(decoder.kv_shape(), longest, rows, rotates ? &decoder.model().rope : nullptr);
    TokenChooser chooser(request.choice);
    std::vector<Token> text = request.prompt;
    Alone alone;
    while (alone.outcome == Outcome::running) {
        const auto next = std::span<const Token>(text).subspan(usize(cache.next_position()));
        const auto logits = decoder.forward(cache, next).flat();
        const Token token = chooser.choose(logits, text);
        alone.logits.insert(alone.logits.end(), logits.begin(), logits.end());
        alone.tokens.push_back(token);
        text.push_back(token);
        if (std::find(request.ends.begin(), request.ends.end(), token) != request.ends.end())
            alone.outcome = Outcome::end_token;
        else if (std::ssize(alone.tokens) == request.max_tokens)
            alone.outcome = Outcome::length;
    }
    return alone;
}

}  // namespace kvlab
