#include <kvlab/attention/decoder.hpp>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <utility>

#include <kvlab/attention/finite.hpp>
#include <kvlab/tensor/numerics.hpp>

namespace kvlab {

Decoder::Decoder(std::shared_ptr<const Model> model, Engine& engine)
    : model_(std::move(model)), engine_(engine) {
    check(model_ != nullptr, "decoder: no model");
}

KvShape Decoder::kv_shape() const {
    const Config& c = config();
    return {c.layers, c.heads, c.kv_heads, c.head_dim};
}

namespace {

// How many of its rows want logits.
Index wanted_rows(const SequenceStep& step) {
    if (step.logits == LogitsOf::all) return std::ssize(step.tokens);
    return step.logits == LogitsOf::last ? 1 : 0;
}

// Opens the step of every store, and ends those that are still open, after a pass that threw,
// as if they had never begun.
class OpenSteps {
public:
    explicit OpenSteps(std::span<const SequenceStep> batch) : batch_(batch) {}

    ~OpenSteps() {
        for (std::size_t s = 0; s < opened_; ++s) batch_[s].store->abandon();
    }

    OpenSteps(const OpenSteps&) = delete;
    OpenSteps& operator=(const OpenSteps&) = delete;

    void open() {
        for (const SequenceStep& step : batch_) {
            step.store->begin(std::ssize(step.tokens));
            ++opened_;
        }
    }

private:
    std::span<const SequenceStep> batch_;
    std::size_t opened_ = 0;
};

}  // namespace

// ANCHOR: forward
View<const float> Decoder::forward(std::span<const SequenceStep> batch) {
    const SoleUse::Guard alone(use_, "decoder");
    start(batch);
    OpenSteps steps(batch);
    steps.open();
    const View<const float> logits = engine_.host_rows(run_layers(batch), host_logits_);
    if (!all_finite(logits.flat())) [[unlikely]]
        report_non_finite(batch);
    for (const SequenceStep& step : batch) step.store->commit();
    return logits;
}

View<const float> Decoder::run_layers(std::span<const SequenceStep> batch) {
    if (R_ == 1 && observer_ == nullptr)
        if (const float* logits = engine_.forward_token(*model_, *batch[0].store, tokens_[0]))
            return {logits, {wanted_rows(batch[0]), config().vocab}};
    embed();
    for (Index layer = 0; layer < config().layers; ++layer) {
        attention(layer, batch);
        feed_forward(layer);
    }
    return output(batch);
}

// ANCHOR_END: forward

// Runs the uncommitted step once more, watching, to say where the first NaN or
// infinity came up.
void Decoder::report_non_finite(std::span<const SequenceStep> batch) {
    FirstNonFinite finder;
    const Observing watched(*this, finder);
    for (const SequenceStep& step : batch) {
        step.store->abandon();
        step.store->begin(std::ssize(step.tokens));
    }
    run_layers(batch);
    throw Error(concat(model_->source, ": a number that is not finite: ", finder.where()));
}

// Checks everything that can be wrong before anything changes.
void Decoder::start(std::span<const SequenceStep> batch) {
    const Config& c = config();
    check(!batch.empty(), "decoder: an empty batch");
    tokens_.clear();
    positions_.clear();
    Index wanted = 0;
    for (std::size_t s = 0; s < batch.size(); ++s) {
        const SequenceStep& step = batch[s];
        check(step.store != nullptr && step.store->shape() == kv_shape(), "decoder: sequence ",
              s, ": its store was made for another model");
        check(step.store->host_memory() == engine_.host_memory(), "decoder: sequence ", s,
              ": its store works in another memory than the engine");
        for (std::size_t other = 0; other < s; ++other)
            check(batch[other].store != step.store, "decoder: sequences ", other, " and ", s,
                  " share one store");
        const Index T = std::ssize(step.tokens), first = step.store->next_position();
        check(T >= 1, "decoder: sequence ", s, ": no tokens");
        check(T <= step.store->room(), "decoder: sequence ", s, ": ", T,
              " tokens do not fit: its store has room for ", step.store->room());
        check(!context_bounds(*step.store) || first + T <= c.context, "decoder: sequence ", s,
              ": positions up to ", first + T - 1, " are outside of the model's context of ",
              c.context);
        for (Index t = 0; t < T; ++t) {
            const Token token = at(step.tokens, t);
            check(token >= 0 && token < c.vocab, "decoder: token ", token,
                  " is outside of the vocabulary of ", c.vocab);
            tokens_.push_back(token);
            positions_.push_back(first + t);
        }
        wanted += wanted_rows(step);
    }
    const Index R = std::ssize(tokens_);
    reserve(R, wanted);
    if (R != R_) {
        R_ = R;
        look_at_rows();
    }
}

void Decoder::embed() {
    const View<float>& x = x_rows_;
    engine_.gather(*model_->embedding, tokens_, x);
    if (model_->positions) {
        const View<float>& learned = branch_rows_;
        position_rows_.assign(positions_.begin(), positions_.end());
        engine_.gather(*model_->positions, position_rows_, learned);
        engine_.add(learned, x);
    }
    observe(Op::embedding, -1, x);
}

void Decoder::norm(const Norm& weights, const View<const float>& x, const View<float>& y) {
    if (weights.bias)
        engine_.layer_norm(x, weights.weight->data(), weights.bias->data(), config().norm_eps,
                           y);
    else
        engine_.rms_norm(x, weights.weight->data(), config().norm_eps, y);
}

namespace {

// Calls work(step, first, end) with the rows of each sequence's tokens.
template <class Work>
void for_sequences(std::span<const SequenceStep> batch, Work&& work) {
    Index first = 0;
    for (const SequenceStep& step : batch) {
        const Index end = first + std::ssize(step.tokens);
        work(step, first, end);
        first = end;
    }
}

}  // namespace

// ANCHOR: store
// Hands the new keys and values over to the stores, in the form that each wants.
void Decoder::append(Index layer, std::span<const SequenceStep> batch) {
    const Config& c = config();
    const float scale = log2e_over(std::sqrt(static_cast<double>(c.head_dim)));
    const RopeTable* rope = c.architecture == Architecture::llama ? &model_->rope : nullptr;
    for_sequences(batch, [&](const SequenceStep& step, Index first, Index end) {
        const std::span<const Index> positions(positions_.data() + first, usize(end - first));
        const View<float> q = queries_.slice(0, first, end), k = keys_.slice(0, first, end);
        if (step.store->key_form() == KeyForm::rotated) {
            engine_.rotate(q, rope, positions, scale);
            if (rope != nullptr) engine_.rotate(k, rope, positions, 1.0f);
        }
        step.store->append(layer, k, values_.slice(0, first, end));
    });
}

void Decoder::attend(Index layer, std::span<const SequenceStep> batch) {
    std::atomic<Index> pairs{0}, read{0}, written{0};
    const auto one = [&](const SequenceStep& step, Index first, Index end, ThreadPool& pool) {
        const AttentionWork work = step.store->attend(layer, queries_.slice(0, first, end),
                                                      mixed_heads_.slice(0, first, end), pool);
        pairs += work.pairs;
        read += work.bytes_read;
        written += work.bytes_written;
    };
    const Index sequences = std::ssize(batch);
    if (sequences > 1 && R_ == sequences)  // one token each: the threads share the sequences
        engine_.pool().run(sequences, [&](Index s) { one(at(batch, s), s, s + 1, alone_); });
    else
        for_sequences(batch, [&](const SequenceStep& step, Index first, Index end) {
            one(step, first, end, engine_.pool());
        });
    attended(layer, {pairs, read, written});
}

// ANCHOR_END: store

// ANCHOR: attention
void Decoder::attention(Index layer, std::span<const SequenceStep> batch) {
    const View<float>&x = x_rows_, &normed = normed_rows_, &branch = branch_rows_;
    norm(at(model_->layers, layer).attention_norm, x, normed);
    observe(Op::attention_norm, layer, normed);
    mix(layer, batch, normed, branch);
    observe(Op::attention_out, layer, branch);
    engine_.add(branch, x);
    observe(Op::attention_add, layer, x);
}

void Decoder::mix(Index layer,
                  std::span<const SequenceStep> batch,
                  const View<const float>& x,
                  const View<float>& out) {
    const Config& c = config();
    const LayerWeights& w = at(model_->layers, layer);
    const View<float>& qkv = qkv_rows_;
    engine_.linear(*w.qkv.weight, w.qkv.bias ? w.qkv.bias->data() : nullptr, x, qkv);
    append(layer, batch);
    attend(layer, batch);
    if (observer_ != nullptr) {
        const auto columns = [&](Index begin, Index count) {
            return qkv.slice(1, begin * c.head_dim, (begin + count) * c.head_dim);
        };
        observe(Op::query, layer, columns(0, c.heads));
        observe(Op::key, layer, columns(c.heads, c.kv_heads));
        observe(Op::value, layer, columns(c.heads + c.kv_heads, c.kv_heads));
    }
    observe(Op::attention, layer, mixed_rows_);
    engine_.linear(*w.out.weight, w.out.bias ? w.out.bias->data() : nullptr, mixed_rows_, out);
}

// ANCHOR_END: attention

// ANCHOR: feed_forward
void Decoder::feed_forward(Index layer) {
    const Config& c = config();
    const LayerWeights& w = at(model_->layers, layer);
    const View<float>&x = x_rows_, &normed = normed_rows_;
    norm(w.ffn_norm, x, normed);
    observe(Op::ffn_norm, layer, normed);

    const View<float>&wide = wide_rows_, &hidden = hidden_rows_;
    engine_.linear(*w.gate_up.weight, w.gate_up.bias ? w.gate_up.bias->data() : nullptr, normed,
                   wide);
    if (c.architecture == Architecture::gpt2)
        engine_.gelu(wide, hidden);
    else
        engine_.swiglu(wide, hidden);
    observe(Op::ffn_hidden, layer, hidden);

    const View<float>& branch = branch_rows_;
    engine_.linear(*w.down.weight, w.down.bias ? w.down.bias->data() : nullptr, hidden, branch);
    observe(Op::ffn_out, layer, branch);
    engine_.add(branch, x);
    observe(Op::ffn_add, layer, x);
}

// ANCHOR_END: feed_forward

// The final norm and the output matrix, for the rows that want logits only.
View<const float> Decoder::output(std::span<const SequenceStep> batch) {
    const Config& c = config();
    Index n = 0, first = 0;
    for (const SequenceStep& step : batch) {
        first += std::ssize(step.tokens);
        const Index count = wanted_rows(step);
        if (count == 0) continue;
        const View<float> wanted(wanted_->data() + n * c.dim, {count, c.dim});
        norm(model_->final_norm, x_rows_.slice(0, first - count, first), wanted);
        n += count;
    }
    if (n == 0) return {nullptr, {0, c.vocab}};
    const View<float> wanted(wanted_->data(), {n, c.dim}),
        logits(logits_->data(), {n, c.vocab});
    observe(Op::final_norm, -1, wanted);
    engine_.linear(model_->output_matrix(), nullptr, wanted, logits);
    observe(Op::logits, -1, logits);
    return logits;
}

void Decoder::observe(Op op, Index layer, const View<const float>& view) {
    if (observer_ != nullptr)
        observer_->on(op, layer, engine_.host_rows(view, observed_), positions_);
}

}  // namespace kvlab
