// generate.hpp - chapter 2: one loop that generates text, with whatever store it is given.
//
// Each step feeds a sequence's store the tokens that the store has not seen yet:
//   WholeSequence never remembers      -> all t tokens, every time
//   a cache remembers                  -> the prompt once, then one token a step
// The logits must be the same in every bit; that is what this project proves.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include <kvlab/attention/decoder.hpp>
#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/sampling.hpp>

namespace kvlab {

enum class Finish { running, length, end_token, context_full };

const char* finish_name(Finish finish);

// Of one thread, as its Decoder is; its stores belong to it until it has finished with them.
class Generator {
public:
    // What has just been generated, and from which row of logits [V].
    using OnToken =
        std::function<void(Index sequence, Token token, const View<const float>& logits)>;
    using IsEnd = std::function<bool(Token)>;

    explicit Generator(Decoder& decoder) : decoder_(decoder) {}

    // Adds a sequence that is to grow by `steps` tokens; returns its number. The store must
    // outlive the generator, and may already have seen a beginning of the prompt. Throws Error
    // for an empty prompt, negative steps, and more of both than an Index counts.
    Index add(KvStore& store,
              std::span<const Token> prompt,
              Index steps,
              const SamplingOptions& sampling = {});

    // The same with a sampler that has drawn before; sampler() is what it has become.
    Index add(KvStore& store, std::span<const Token> prompt, Index steps, Sampler sampler);

    const Sampler& sampler(Index sequence) const { return at(sequence).sampler; }

    // After such a token the sequence is finished; the token itself is kept. Default: none.
    void set_is_end(IsEnd is_end) { is_end_ = std::move(is_end); }

    void set_on_token(OnToken on_token) { on_token_ = std::move(on_token); }

    // One token for every unfinished sequence, all in one batch; false when none was left
    // to take one, so true for the step that takes the last ones.
    // Allocates nothing once the buffers have their size.
    bool step();

    // Steps until all sequences are finished.
    void run();

    Index sequences() const { return static_cast<Index>(sequences_.size()); }

    std::span<const Token> tokens(Index sequence) const {
        return at(sequence).tokens;
    }  // with prompt

    std::span<const Token> generated(Index sequence) const;

    Finish finish(Index sequence) const { return at(sequence).finish; }

    // Over the rows of logits that tokens were taken from, step by step, sequences in order
    // (contract, rule 8).
    const Checksum& checksum() const { return checksum_; }

private:
    struct Sequence {
        KvStore* store;
        std::vector<Token> tokens;
        Index prompt;
        Index length;  // to stop at
        Sampler sampler;
        Finish finish = Finish::running;
    };

    // (Of lists inside of this class: kvlab::at(list, i).)
    const Sequence& at(Index sequence) const;
    void take_token(Sequence& sequence, Index number, const View<const float>& logits);

    Decoder& decoder_;
    IsEnd is_end_;
    OnToken on_token_;
    std::vector<Sequence> sequences_;
    std::vector<SequenceStep> batch_;  // of the current step
    std::vector<Index> numbers_;       // of its sequences
    Checksum checksum_;
};

}  // namespace kvlab
