#include "token_time.hpp"

#include <kvlab/kvcache/decode_pass.hpp>
#include <kvlab/kvcache/prefill.hpp>
#include <kvlab/kvcache/subject.hpp>

namespace kvlab::app {

namespace {

// The median token of a round: one that was interrupted does not count.
double time_round(TimedText& text, const TimeFlags& flags) {
    const std::unique_ptr<KvStore> store = text.behind->fork();
    MixedDecoder& decoder = text.opened->decoder;
    const std::vector<Token> tokens = random_text(decoder.config().vocab, flags.added());
    std::vector<double> seconds;
    for (Index t = 0; t < std::ssize(tokens); ++t) {
        const Stopwatch watch;
        decoder.forward(*store, std::span(tokens).subspan(usize(t), 1));
        if (t >= flags.warm_up) seconds.push_back(watch.seconds());
    }
    return quartiles(std::move(seconds)).median;
}

// Reads the text once more, into a store of its own.
void time_prefill(TimedText& text, const TimeFlags& flags) {
    MixedDecoder& decoder = text.opened->decoder;
    const std::vector<Token> tokens = random_text(decoder.config().vocab, text.length);
    text.behind = text.opened->make_store(text.length + flags.added());
    const Stopwatch watch;
    prefill(decoder, *text.behind, tokens, kFillChunk);
    text.prefills.push_back(watch.seconds());
}

}  // namespace

std::vector<TimedText> time_texts(const std::vector<std::unique_ptr<OpenedMixers>>& models,
                                  Index length,
                                  const TimeFlags& flags) {
    std::vector<TimedText> texts;
    for (const auto& opened : models) texts.push_back({opened.get(), length});
    for (Index time = 0; time < flags.prefills; ++time)
        for (TimedText& text : texts) time_prefill(text, flags);
    for (TimedText& text : texts) text.bytes = text.behind->bytes();
    for (Index round = -1; round < flags.rounds; ++round)  // the first one does not count
        for (TimedText& text : texts) {
            const double seconds = time_round(text, flags);
            if (round >= 0) text.seconds.push_back(seconds);
        }
    for (TimedText& text : texts) text.behind.reset();
    return texts;
}

double prefill_tokens_per_second(const TimedText& text) {
    return static_cast<double>(text.length) / quartiles(text.prefills).median;
}

double time_ratio(const TimedText& a, const TimedText& b) {
    std::vector<double> ratios;
    for (std::size_t i = 0; i < a.seconds.size(); ++i)
        ratios.push_back(a.seconds[i] / b.seconds[i]);
    return quartiles(std::move(ratios)).median;
}

bool bytes_as_form(const TimedText& text) {
    return text.bytes.logical == text.opened->decoder.mixed_model().state_bytes(text.length);
}

}  // namespace kvlab::app
