// decoder.hpp - chapter 2: tokens in, logits out. One forward pass for every store and engine.
#pragma once

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <kvlab/attention/kv_store.hpp>
#include <kvlab/attention/model.hpp>
#include <kvlab/attention/observer.hpp>
#include <kvlab/tensor/sole_use.hpp>

namespace kvlab {

enum class LogitsOf { last, all, none };  // none: of a prompt that goes on

// One sequence's part in a step: T new tokens that go behind what its store has seen.
struct SequenceStep {
    KvStore* store;
    std::span<const Token> tokens;  // [T], at least one
    LogitsOf logits = LogitsOf::last;
};

// Owns the activations of one step and reuses them; a second step of the same
// size allocates nothing.
//
// One thread at a time: a forward() that comes while another is inside throws Error. Several
// decoders may share one Model in as many threads, each with an engine of its own; or one
// engine if that says it may be shared (engine.hpp).
class Decoder {
public:
    Decoder(std::shared_ptr<const Model> model, Engine& engine);
    virtual ~Decoder() = default;
    Decoder(const Decoder&) = delete;
    Decoder& operator=(const Decoder&) = delete;

    const Model& model() const { return *model_; }

    const Config& config() const { return model_->config; }

    Engine& engine() { return engine_; }

    KvShape kv_shape() const;

    // Whether this model's tables bound the positions of a text in such a store: the decoder
    // rotates keys by position, or adds learned positions. A store that takes its keys
    // unrotated chooses the angles itself, and may go on where the tables end.
    bool context_bounds(const KvStore& store) const {
        return store.key_form() == KeyForm::rotated || model_->positions != nullptr;
    }

    // Runs the new tokens of all sequences through the model and commits them to their stores.
    // Returns the wanted logits [n, V] in the caller's memory, in the order of the batch, valid
    // until the next call. A row's bits do not depend on its neighbours in the batch. Throws
    // Error, with every store as it was, for an empty batch, a store that occurs twice, has
    // another shape or works in another memory than the engine, no room, a token outside of the
    // vocabulary or, where the context bounds the store, a position outside of it; and for
    // logits that are not finite, with the place where the first such number came up.
    View<const float> forward(std::span<const SequenceStep> batch);

    // The same for one sequence.
    View<const float> forward(KvStore& store,
                              std::span<const Token> tokens,
                              LogitsOf logits = LogitsOf::last) {
        const SequenceStep step{&store, tokens, logits};
        return forward({&step, 1});
    }

    // nullptr detaches. The observer must outlive its use. Returns the one before it.
    Observer* set_observer(Observer* observer) { return std::exchange(observer_, observer); }

    // Floats of all activations, as allocated.
    Index activation_bytes() const;

protected:
    // What a layer does between the tokens of a text: x [R, C], the normed rows of all
    // sequences, one after the other, to out [R, C], what is added to the residual stream.
    // Here it is attention over each sequence's store.
    virtual void mix(Index layer,
                     std::span<const SequenceStep> batch,
                     const View<const float>& x,
                     const View<float>& out);

    // For the observer, if there is one.
    void observe(Op op, Index layer, const View<const float>& rows);
    void attended(Index layer, const AttentionWork& work) {
        if (observer_ != nullptr) observer_->attended(layer, work);
    }

private:
    void start(std::span<const SequenceStep> batch);
    View<const float> run_layers(std::span<const SequenceStep> batch);
    [[noreturn]] void report_non_finite(std::span<const SequenceStep> batch);
    void embed();
    void attention(Index layer, std::span<const SequenceStep> batch);
    void append(Index layer, std::span<const SequenceStep> batch);
    void attend(Index layer, std::span<const SequenceStep> batch);
    void feed_forward(Index layer);
    View<const float> output(std::span<const SequenceStep> batch);
    void norm(const Norm& weights, const View<const float>& x, const View<float>& y);
    void look_at_rows();
    void reserve(Index R, Index n);

    SoleUse use_;
    std::shared_ptr<const Model> model_;
    Engine& engine_;
    Observer* observer_ = nullptr;
    ThreadPool alone_{1};  // for work that is one thread's share already

    // The current step: R tokens of all sequences, one after the other.
    Index R_ = 0;
    std::vector<Token> tokens_;         // [R]
    std::vector<Index> positions_;      // [R]
    std::vector<Token> position_rows_;  // [R] gpt2: the same, as rows of the table of positions

    // Looks at the R rows of the activations below.
    View<float> x_rows_, normed_rows_, qkv_rows_, mixed_rows_, branch_rows_, wide_rows_,
        hidden_rows_;
    View<float> queries_, keys_, values_;  // [R, heads, D] inside of qkv
    View<float> mixed_heads_;              // [R, Hq, D]

    // Activations, grown as needed.
    Index capacity_ = 0, logits_capacity_ = 0;
    std::unique_ptr<Buffer> x_;        // [R, C] the residual stream
    std::unique_ptr<Buffer> normed_;   // [R, C]
    std::unique_ptr<Buffer> qkv_;      // [R, (Hq + 2 Hkv) D]
    std::unique_ptr<Buffer> mixed_;    // [R, Hq D] attention's output
    std::unique_ptr<Buffer> branch_;   // [R, C] what is added to the residual stream
    std::unique_ptr<Buffer> gate_up_;  // [R, 2F]
    std::unique_ptr<Buffer> hidden_;   // [R, F]
    std::unique_ptr<Buffer> wanted_;   // [n, C] the rows that want logits
    std::unique_ptr<Buffer> logits_;   // [n, V]

    // Copies for the caller, of an engine with a memory of its own.
    Tensor host_logits_, observed_;
};

// Attaches an observer for as long as this object lives. The one before it comes back, also
// when a pass throws.
class Observing {
public:
    Observing(Decoder& decoder, Observer& observer)
        : decoder_(decoder), before_(decoder.set_observer(&observer)) {}

    ~Observing() { decoder_.set_observer(before_); }

    Observing(const Observing&) = delete;
    Observing& operator=(const Observing&) = delete;

private:
    Decoder& decoder_;
    Observer* before_;
};

}  // namespace kvlab
