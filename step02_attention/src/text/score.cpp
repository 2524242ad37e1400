#include <kvlab/attention/score.hpp>

#include <algorithm>
#include <cmath>

#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

double log_sum_exp(std::span<const float> logits) {
    check(!logits.empty(), "score: no logits");
    // SOLUTION-BEGIN 2.7
    const double largest = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
    double total = 0;
    for (const float logit : logits) total += std::exp(static_cast<double>(logit) - largest);
    return std::log(total) + largest;
    // SOLUTION-END 2.7
}

double surprise_bits(std::span<const float> logits, Token token) {
    check(token >= 0 && token < static_cast<Token>(logits.size()), "score: token ", token,
          " is outside of ", logits.size(), " logits");
    // SOLUTION-BEGIN 2.7
    const double own = static_cast<double>(at(logits, token));
    return (log_sum_exp(logits) - own) / std::log(2.0);
    // SOLUTION-END 2.7
}

TextWindows::TextWindows(std::span<const Token> tokens, Token bos, Index window, Index most)
    : window_(window) {
    check(window >= 1, "score: a window of ", window, " tokens");
    // Without a bos, the first token is one that only goes in.
    const Index first = bos == kNoToken ? 1 : 0;
    const Index there = std::max<Index>(0, std::ssize(tokens) - first) / window;
    check(there >= 1, "score: a text of ", tokens.size(), " tokens; a window of ", window,
          " needs ", window + first);
    const Index count = most > 0 ? std::min(there, most) : there;
    for (Index w = 0; w < count; ++w) {
        const auto targets = tokens.subspan(usize(first + w * window), usize(window));
        tokens_.push_back(bos == kNoToken ? tokens[usize(w * window)] : bos);
        tokens_.insert(tokens_.end(), targets.begin(), targets.end());
    }
}

void TextWindows::append(const TextWindows& more) {
    check(more.window_ == window_, "score: windows of ", window_, " and of ", more.window_,
          " tokens");
    tokens_.insert(tokens_.end(), more.tokens_.begin(), more.tokens_.end());
}

std::vector<Token> TextWindows::input(Index w) const {
    const auto first = tokens_.begin() + w * (window_ + 1);
    return {first, first + window_};
}

std::span<const Token> TextWindows::targets(Index w) const {
    return std::span(tokens_).subspan(usize(w * (window_ + 1) + 1), usize(window_));
}

BitsPerByte bits_per_byte(Decoder& decoder,
                          const MakeStore& make_store,
                          std::span<const std::uint8_t> text,
                          Token bos,
                          Index window,
                          Index most_windows) {
    check(decoder.config().vocab == 256,
          "bits per byte: expected a model of 256 bytes, found a vocabulary of ",
          decoder.config().vocab);
    check(window >= 1 && window <= decoder.config().context, "bits per byte: a window of ",
          window, " does not fit the context of ", decoder.config().context);
    const std::vector<Token> tokens(text.begin(), text.end());
    const TextWindows windows(tokens, bos, window, most_windows);
    // SOLUTION-BEGIN 2.7
    BitsPerByte result;
    result.windows = windows.count();
    for (Index w = 0; w < result.windows; ++w) {
        const auto store = make_store(window);
        const View<const float> logits =
            decoder.forward(*store, windows.input(w), LogitsOf::all);
        for (Index i = 0; i < window; ++i)
            result.bits += surprise_bits(logits[i].flat(), windows.targets(w)[usize(i)]);
    }
    result.bytes = result.windows * window;
    result.bits /= static_cast<double>(result.bytes);
    return result;
    // SOLUTION-END 2.7
}

Index right_answers(Decoder& decoder, KvStore& store, const RecallCase& recall, Token bos) {
    std::vector<Token> input = {bos};
    for (const char c : recall.text) input.push_back(static_cast<std::uint8_t>(c));
    input.pop_back();  // nothing is asked after the last byte
    for (const Index i : recall.answers)
        check(i >= 0 && i < std::ssize(recall.text), "recall: answer ", i,
              " is outside of its text");
    const View<const float> logits = decoder.forward(store, input, LogitsOf::all);
    Index right = 0;
    for (const Index i : recall.answers)
        if (argmax(logits[i].flat()) == static_cast<std::uint8_t>(at(recall.text, i))) ++right;
    return right;
}

namespace {

// Watches queries and keys, and sums the weight of slot 0 by layer.
class SinkObserver final : public Observer {
public:
    SinkObserver(const Config& config, Index from)
        : mass(usize(config.layers)), c_(config), from_(from) {}

    void on(Op op,
            Index layer,
            const View<const float>& rows,
            std::span<const Index>) override {
        if (op == Op::query) queries_ = rows;
        if (op == Op::key) add(layer, rows);
    }

    std::vector<double> mass;

private:
    void add(Index layer, const View<const float>& keys) {
        const Index T = keys.dim(0), D = c_.head_dim;
        std::vector<float> scores, weights;
        double sum = 0;
        for (Index h = 0; h < c_.heads; ++h)
            for (Index t = from_; t < T; ++t) {
                scores.resize(usize(t + 1));
                weights.resize(scores.size());
                for (Index s = 0; s <= t; ++s)
                    at(scores, s) = dot(&queries_(t, h * D), &keys(s, h / c_.group() * D), D);
                const float total = softmax_weights(scores, weights);
                sum += static_cast<double>(weights[0]) / static_cast<double>(total);
            }
        at(mass, layer) = sum / static_cast<double>(c_.heads * (T - from_));
    }

    const Config& c_;
    Index from_;
    View<const float> queries_;  // of the current layer, until its keys come
};

}  // namespace

std::vector<double> sink_mass(Decoder& decoder,
                              KvStore& store,
                              std::span<const Token> tokens,
                              Index from) {
    check(from >= 0 && from < std::ssize(tokens), "sink mass: no queries at or after position ",
          from);
    SinkObserver observer(decoder.config(), from);
    const Observing watched(decoder, observer);
    decoder.forward(store, tokens);
    return observer.mass;
}

}  // namespace kvlab
