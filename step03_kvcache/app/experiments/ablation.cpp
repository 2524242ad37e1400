// ablation.cpp - chapter 3: the runs of `ablate`.
#include "ablation.hpp"

#include <algorithm>
#include <memory>

#include <kvlab/attention/generate.hpp>
#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/kvcache/kv_cache.hpp>
#include <kvlab/tensor/measure.hpp>
#include <kvlab/weights/unicode.hpp>

namespace kvlab::app {

std::vector<Token> prompt_of_length(const Tokenizer& tokenizer,
                                    std::string_view text,
                                    Index length) {
    const std::vector<Token> end = tokenizer.encode(text), passage = tokenizer.encode(kPassage);
    std::vector<Token> tokens;
    // From the last place to the first.
    for (std::size_t i = 0; i < usize(length); ++i)
        tokens.push_back(i < end.size()
                             ? end[end.size() - 1 - i]
                             : passage[passage.size() - 1 - (i - end.size()) % passage.size()]);
    std::reverse(tokens.begin(), tokens.end());
    if (tokenizer.wants_bos()) tokens.front() = tokenizer.bos();
    return tokens;
}

void run_ablation(const OpenedModel& opened, const AblationJob& job, AblationRun& run) {
    const Index before = memory_use().bytes;
    reset_memory_peak();
    Decoder decoder(opened.model, *opened.engine);  // its activations belong to the run
    Generator generator(decoder);
    std::vector<std::unique_ptr<KvStore>> stores;
    for (Index i = 0; i < run.batch; ++i) {
        const auto& prompt = at(job.prompts, i % kAblationPromptCount);
        const Index capacity = std::ssize(prompt) + job.output - 1;
        if (run.cached)
            stores.push_back(
                std::make_unique<KvCache>(decoder.kv_shape(), capacity, opened.level));
        else
            stores.push_back(
                std::make_unique<WholeSequence>(decoder.kv_shape(), capacity, opened.level));
        SamplingOptions sampling = run.sampled ? job.sampling : SamplingOptions{};
        sampling.seed = job.sampling.seed + static_cast<std::uint64_t>(i);
        generator.add(*stores.back(), prompt, job.output, sampling);
    }
    const Stopwatch watch;
    generator.run();
    run.seconds.push_back(watch.seconds());
    run.peak_bytes = memory_use().peak - before;
    run.checksum = generator.checksum().hex();
    run.cache_bytes = 0;
    for (const auto& store : stores) run.cache_bytes += store->bytes().logical;
    run.texts.clear();
    for (Index i = 0; i < run.batch; ++i) {
        const std::span<const Token> text = generator.generated(i);
        run.texts.emplace_back(text.begin(), text.end());
    }
}

std::string ablation_text(const Tokenizer& tokenizer, const std::vector<Token>& tokens) {
    Utf8Stream utf8;
    std::string text;
    for (const Token token : tokens) {
        if (tokenizer.is_end(token)) break;
        text += utf8.push(tokenizer.piece(token));
    }
    return text + utf8.finish();
}

}  // namespace kvlab::app
