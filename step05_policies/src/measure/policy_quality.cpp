#include <kvlab/policies/policy_quality.hpp>

#include <algorithm>

#include <kvlab/attention/whole_sequence.hpp>
#include <kvlab/kvcache/compare_window.hpp>
#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

namespace {

// One window through one policy, from nothing.
void run_window(Decoder& decoder,
                PolicyStore& store,
                std::span<const Token> input,            // [window]
                std::span<const Token> targets,          // [window]
                const std::vector<NextToken>& expected,  // [window]
                Index prompt,
                const FutureShares* future,  // to be judged by, or null
                PolicyQuality& quality) {
    const auto P = usize(prompt);
    decoder.forward(store, input.first(P));
    quality.kept_behind_prompt = store.mean_kept();
    for (std::size_t i = P; i < input.size(); ++i) {
        if (future != nullptr) quality.retention.add(*future, store);
        const View<const float> logits = decoder.forward(store, input.subspan(i, 1));
        quality.add(expected[i], NextToken(logits.flat()), targets[i]);
    }
    quality.kept_at_end = store.mean_kept();
    quality.bytes = store.bytes();
}

}  // namespace

PolicyReport measure_policies(const std::shared_ptr<const Model>& model,
                              Engine& engine,
                              const TextWindows& text,
                              std::span<const std::string> names,
                              const PolicyOptions& options,
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
    for (const std::string& name : names) report.policies.emplace_back().policy = name;
    const bool asks_future = std::ranges::any_of(
        names, [](const std::string& name) { return find_policy(name).needs_future; });
    for (Index w = 0; w < text.count(); ++w) {
        const std::vector<Token> input = text.input(w);
        const std::span<const Token> targets = text.targets(w);
        const std::vector<NextToken> expected = read_window(whole, everything, input);
        for (auto i = usize(prompt); i < input.size(); ++i)
            report.full_bits += expected[i].bits(targets[i]);
        if (asks_future || retention)
            context.future = std::make_shared<FutureShares>(pieces, input);
        for (PolicyQuality& quality : report.policies) {
            if (find_policy(quality.policy).reconstructs)
                look_ahead(context, find_policy(quality.policy), options, pieces, input);
            run_window(pieces, *find_policy(quality.policy).make(context, options), input,
                       targets, expected, prompt, retention ? context.future.get() : nullptr,
                       quality);
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
