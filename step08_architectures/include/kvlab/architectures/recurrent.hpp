// recurrent.hpp - chapter 8: mixers with a memory of fixed size, which every token overwrites.
//
// A cache of keys can be cut: the rows of later tokens are simply not looked at. A recurrent
// state cannot, since each token has changed all of it. Whoever wants to go back needs copies:
//
// ANCHOR: rewind
//   position  0          64         128        192   200
//             |----------|----------|----------|-----x
//                        copy       copy       copy        rewind = 100: any token from 100 on
//                        [rows of the tokens 64 ... 199]   can be gone back to
// ANCHOR_END: rewind
//
// To go back to 150, the copy of 128 is taken out, and the rows of 128 to 149 are run once
// more. That gives the bits that it had, as a recurrence in token order always does.
#pragma once

#include <deque>
#include <span>
#include <vector>

#include <kvlab/architectures/linear_mixer.hpp>
#include <kvlab/architectures/state_kernels.hpp>
#include <kvlab/attention/tensor_loader.hpp>

namespace kvlab {

class RecurrentMixer : public LinearMixer {
public:
    using LinearMixer::LinearMixer;

    // S: the floats of a state.
    virtual Index state_floats() const = 0;

    // The state [S] before the first token, given as zeros.
    virtual void begin(std::span<float> /*state*/) const {}

    // The definition: takes rows [T, N] in, token by token, and gives mixed [T, K]. May
    // overwrite rows.
    virtual void run(Engine& engine,
                     const StateKernels& kernels,
                     std::span<float> state,  // [S]
                     const View<float>& rows,
                     const View<float>& mixed) const = 0;

    std::unique_ptr<MixerState> make_state(const StateOptions& options) const final;
    AttentionWork remember(const MixerCall& call,
                           const View<float>& rows,
                           const View<float>& mixed) const final;

    Index state_bytes(Index) const final { return state_floats() * Index{sizeof(float)}; }

    // What StateOptions::rewind costs beside that, at most: a copy of the state for every 64
    // tokens that can be taken back, and one more, each with the rows [64, N] behind it.
    Index rewind_bytes(Index rewind) const;
};

// A tensor [n, k] as [k, n]: what a token needs together lies together.
std::vector<float> load_columns(TensorLoader& load, const std::string& name, Index n, Index k);

// The state of a text, with as many copies as `rewind` asks for.
class RecurrentState final : public MixerState {
public:
    RecurrentState(const RecurrentMixer& mixer, const StateOptions& options);

    // Takes the rows of an open step in.
    void run(Engine& engine, const View<float>& rows, const View<float>& mixed);

    std::span<const float> floats() const { return floats_; }

    void opened(Index T) override;
    void closed(Index length) override;
    void check_truncate(Index length, Index to) const override;
    void dropped(Index length) noexcept override;
    std::unique_ptr<MixerState> copied() const override;
    KvBytes bytes(Index length) const override;

private:
    // The state before the token at `position`, and the rows that came after it.
    struct Copy {
        Index position;
        std::vector<float> floats;  // [S]
        std::vector<float> rows;    // [tokens, N]
    };

    void keep(const View<const float>& rows, Index position);
    void go_back(Index to);

    const RecurrentMixer& mixer_;
    StateOptions options_;
    const StateKernels& kernels_;
    std::vector<float> floats_;
    std::vector<float> before_;  // the open step
    bool open_ = false;
    Index length_ = 0;  // tokens that floats_ has taken in
    std::deque<Copy> copies_;
};

}  // namespace kvlab
