#include <kvlab/policies/policy_quality.hpp>

#include <algorithm>
#include <map>

#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/kvcache/compare_window.hpp>
#include <kvlab/tensor/numerics.hpp>

#include "shared_prompt.hpp"

namespace kvlab {

namespace {

// How many contenders share a step: more would not read the weights much less often, and each
// holds a cache of its own.
constexpr Index kTogether = 32;

// What is asked of each position of one window.
struct Asked {
    std::vector<Token> input;                    // [window]
    std::span<const Token> targets;              // [window]
    std::vector<NextToken> expected;             // [window]
    std::shared_ptr<const FutureShares> future;  // to be judged by, or null
    // The prompt as it was repeated for those who ask for it, by the tokens of a chunk.
    std::map<double, std::shared_ptr<const Reconstruction>> repeated;
};

double chunk_of(const Contender& contender) {
    return contender.options.own_or("chunk", Reconstruction::kChunk);
}

// Once for all contenders that want it in the same chunks.
void repeat_prompt(const std::vector<PolicyQuality>& run,
                   PolicyContext context,
                   Decoder& decoder,
                   Asked& asked) {
    for (const PolicyQuality& quality : run) {
        const PolicyEntry& entry = find_policy(quality.contender.policy);
        auto& repeated = asked.repeated[chunk_of(quality.contender)];
        if (!entry.reconstructs || repeated) continue;
        look_ahead(context, entry, quality.contender.options, decoder, asked.input);
        repeated = context.reconstruction;
    }
}

// One window through some policies side by side, from nothing: the prompt of each, then token
// by token all of them.
void run_window(Decoder& decoder,
                PolicyContext context,
                const Asked& asked,
                Index prompt,
                std::span<PolicyQuality> run) {
    const std::span<const Token> whole = std::span(asked.input).first(usize(prompt));
    std::vector<std::unique_ptr<PolicyStore>> stores;
    std::vector<KvStore*> alike;
    for (PolicyQuality& quality : run) {
        const Contender& contender = quality.contender;
        const PolicyEntry& entry = find_policy(contender.policy);
        context.reconstruction = asked.repeated.at(chunk_of(contender));
        stores.push_back(entry.make(context, contender.options));
        // Slots with the angles of the text are the same for every policy until it forgets.
        if (entry.policy != nullptr && entry.scheme == PositionScheme::absolute)
            alike.push_back(stores.back().get());
        else
            decoder.forward(*stores.back(), whole);
    }
    if (!alike.empty()) {
        SharedPrompt shared(alike);
        decoder.forward(shared, whole);
    }
    std::vector<SequenceStep> batch;
    for (std::size_t r = 0; r < run.size(); ++r) {
        run[r].kept_behind_prompt = stores[r]->mean_kept();
        run[r].begin_window();
        batch.push_back({stores[r].get(), {}});
    }
    ThreadPool& pool = decoder.engine().pool();
    for (auto i = usize(prompt); i < asked.input.size(); ++i) {
        for (SequenceStep& step : batch) step.tokens = std::span(asked.input).subspan(i, 1);
        if (asked.future)
            pool.run(std::ssize(run),
                     [&](Index r) { at(run, r).retention.add(*asked.future, *at(stores, r)); });
        const View<const float> logits = decoder.forward(batch);
        pool.run(std::ssize(run), [&](Index r) {
            at(run, r).add(asked.expected[i], NextToken(logits[r].flat()), asked.targets[i]);
        });
    }
    for (Index r = 0; r < std::ssize(run); ++r) {
        at(run, r).kept_at_end = at(stores, r)->mean_kept();
        at(run, r).bytes = at(stores, r)->bytes();
    }
}

}  // namespace

PolicyReport measure_policies(const std::shared_ptr<const Model>& model,
                              Engine& engine,
                              const TextWindows& text,
                              std::span<const Contender> contenders,
                              Index prompt,
                              SimdLevel level,
                              bool retention) {
    const Index window = text.window();
    check(window <= model->config.context, "quality: a window of ", window,
          " does not fit the model's context of ", model->config.context);
    check(prompt >= 1 && prompt < window, "quality: a prompt of ", prompt,
          " tokens in a window of ", window);
    // Two decoders, so that the rows of the full run stay valid while the policies run.
    Decoder whole(model, engine), pieces(model, engine);
    WholeSequence everything(whole.kv_shape(), window, level);
    PolicyContext context = policy_context(pieces, window);
    context.level = level;
    context.prompt = prompt;
    const KvShape& shape = context.shape;
    PolicyReport report;
    report.full_bytes =
        2 * shape.layers * shape.kv_heads * shape.head_dim * window * Index{sizeof(float)};
    bool asks_future = false;
    for (const Contender& contender : contenders) {
        report.policies.emplace_back().contender = contender;
        asks_future = asks_future || find_policy(contender.policy).needs_future;
    }
    for (Index w = 0; w < text.count(); ++w) {
        Asked asked{text.input(w), text.targets(w), {}, nullptr, {}};
        asked.expected = read_window(whole, everything, asked.input);
        for (auto i = usize(prompt); i < asked.input.size(); ++i)
            report.full_bits += asked.expected[i].bits(asked.targets[i]);
        if (asks_future || retention)
            context.future = std::make_shared<FutureShares>(pieces, asked.input);
        if (retention) asked.future = context.future;
        repeat_prompt(report.policies, context, pieces, asked);
        for (std::size_t first = 0; first < report.policies.size(); first += kTogether) {
            const auto count = std::min(usize(kTogether), report.policies.size() - first);
            run_window(pieces, context, asked, prompt,
                       std::span(report.policies).subspan(first, count));
        }
    }
    report.positions = text.count() * (window - prompt);
    return report;
}

bool recalls(Decoder& decoder,
             const MakeForText& make_store,
             const RecallCase& recall,
             Token bos,
             Index question) {
    check(recall.answers.size() == 1, "recall: a case of one answer, found ",
          recall.answers.size());
    const Index answer = recall.answers[0];
    check(answer >= question && answer < std::ssize(recall.text), "recall: answer ", answer,
          " is outside of its text");
    std::vector<Token> text = {bos};
    for (Index i = 0; i < answer; ++i)
        text.push_back(static_cast<std::uint8_t>(at(recall.text, i)));
    const Index prompt = answer + 1 - question;  // with the BOS
    const auto store = make_store(text, prompt);
    View<const float> logits = decoder.forward(*store, std::span(text).first(usize(prompt)));
    for (std::size_t i = usize(prompt); i < text.size(); ++i)
        logits = decoder.forward(*store, std::span(text).subspan(i, 1));
    return argmax(logits.flat()) == static_cast<std::uint8_t>(at(recall.text, answer));
}

}  // namespace kvlab
