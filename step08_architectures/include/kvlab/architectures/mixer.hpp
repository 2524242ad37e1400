// mixer.hpp - chapter 8: what a layer does between the tokens of a text, and what it remembers.
//
// A decoder layer has two halves. One works on each token alone: the feed-forward part. The
// other lets tokens see earlier ones: the mixer. Attention is one answer to how; this chapter
// has some twenty. A mixer has three parts, of which only the middle one looks at other tokens:
//
// ANCHOR: parts
//   x [R, C]  --project-->  [R, N]  --remember-->  [R, K]  --finish-->  out [R, C]
//             all texts            one text at a            all texts
//             at once              time, its state          at once
// ANCHOR_END: parts
//
// So weights are read once for a whole batch (those that remember() needs: once per text), and
// a state belongs to one text.
#pragma once

#include <memory>
#include <span>

#include <kvlab/attention/engine.hpp>
#include <kvlab/attention/kv_store.hpp>
#include <kvlab/tensor/simd_level.hpp>

namespace kvlab {

// How states are made.
struct StateOptions {
    Index capacity = 0;  // tokens of the text, at most
    // How many of the last tokens can be taken back one by one, by truncate(): what else would
    // be forgotten is kept that long. 0: only those of an open step.
    Index rewind = 0;  // counted from the longest that the text has been
    // Where a state works when it is not asked by a decoder; must outlive it.
    Engine* engine = nullptr;
    SimdLevel level = default_simd_level();
};

// What one layer remembers of one text. Its own mixer fills it; other layers' may read it.
class MixerState {
public:
    virtual ~MixerState() = default;

    // A step of T tokens begins. It may end as if it had never been: then dropped() comes with
    // the length before it.
    virtual void opened(Index /*T*/) {}

    // The step's tokens count: the text has `length` now. What no later token sees may go.
    virtual void closed(Index /*length*/) {}

    // Throws Error, saying why, if it cannot go back from `length` tokens to `to`.
    virtual void check_truncate(Index /*length*/, Index /*to*/) const {}

    // Tokens at and behind `length` are gone.
    virtual void dropped(Index length) noexcept = 0;

    // A copy of the tokens that count. Not asked while a step is open.
    virtual std::unique_ptr<MixerState> copied() const = 0;

    // Of `length` tokens.
    virtual KvBytes bytes(Index length) const = 0;
};

// One text's part in a layer's work.
struct MixerCall {
    Engine& engine;  // works in the caller's memory
    ThreadPool& pool;
    const RopeTable& rope;
    Index position;  // of the step's first token
    Index layer;
    std::span<const std::unique_ptr<MixerState>> states;  // [L] of the text
};

// One layer's weights. Read-only after loading, so any number of texts and threads share it.
class Mixer {
public:
    virtual ~Mixer() = default;

    // An empty memory for one text. The mixer must outlive it.
    virtual std::unique_ptr<MixerState> make_state(const StateOptions& options) const = 0;

    // N and K: the widths of the rows before and after remember(). Most mixers have a matrix
    // there: N are the outputs of the one before, K the inputs of the one after.
    virtual Index projected_width() const = 0;
    virtual Index mixed_width() const = 0;

    // x [R, C] to rows [R, N], row by row.
    virtual void project(Engine& engine,
                         const View<const float>& x,
                         const View<float>& rows) const = 0;

    // rows [T, N] of one text's new tokens, which it may overwrite, to mixed [T, K]. The state
    // states[layer] takes the tokens in. The bits of a token depend on the tokens before it and
    // on nothing else: not on how the text was cut into steps.
    virtual AttentionWork remember(const MixerCall& call,
                                   const View<float>& rows,
                                   const View<float>& mixed) const = 0;

    // mixed [R, K], which it may overwrite, to out [R, C].
    virtual void finish(Engine& engine,
                        const View<float>& mixed,
                        const View<float>& out) const = 0;

    // The closed form: bytes of the state for `length` tokens, without what rewind costs.
    virtual Index state_bytes(Index length) const = 0;

    virtual Index weight_bytes() const = 0;
};

}  // namespace kvlab
