// pattern.hpp - chapter 8: attention that leaves tokens out by a rule, which knows nothing but
// where they are in the text.
//
// The rule says what may be forgotten, too: a row that no later token sees. What nobody asks
// for again cannot be missed, so forgetting changes no bit.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include <kvlab/architectures/grouped_attention.hpp>
#include <kvlab/architectures/list_attention.hpp>

namespace kvlab {

// ANCHOR: pattern
class Pattern {
public:
    virtual ~Pattern() = default;

    // The definition: whether the token at t sees the one at s <= t through a KV head. Every
    // token sees itself.
    virtual bool sees(Index kv_head, Index t, Index s) const = 0;

    // All that t sees, in increasing order, behind what `list` has: the same without asking
    // for each one.
    virtual void list(Index kv_head, Index t, std::vector<Index>& list) const = 0;

    // The last token that sees s, which does not fall with s. None: a later one always comes.
    virtual std::optional<Index> last_reader(Index kv_head, Index s) const = 0;

    // The closed form: how many of N tokens the newest or a later one sees.
    virtual Index held(Index kv_head, Index N) const = 0;
};

// ANCHOR_END: pattern

// All tokens first, first + step ... up to last.
void list_range(Index first, Index last, Index step, std::vector<Index>& list);

// The rows of one text, as long as a pattern needs them: what the newest token saw, and what a
// later one will see. With StateOptions::rewind the same of the tokens before; with as much as
// the capacity it is a full cache under a mask.
class PatternState final : public KvState {
public:
    // The pattern must outlive it.
    PatternState(const Pattern& pattern,
                 Index kv_heads,
                 Index head_dim,
                 const StateOptions& options);

    const KeptRows& rows() const { return rows_; }

    void write(Index position, const View<const float>& k, const View<const float>& v) override;
    AttentionWork attend(ThreadPool& pool,
                         const View<const float>& q,
                         Index position,
                         const View<float>& out) const override;
    void closed(Index length) override;
    void check_truncate(Index length, Index to) const override;
    void dropped(Index length) noexcept override;
    std::unique_ptr<MixerState> copied() const override;
    KvBytes bytes(Index length) const override;

private:
    const Pattern& pattern_;
    StateOptions options_;
    KeptRows rows_;
    Index oldest_ = 0;  // the shortest text that can be gone back to, besides an empty one
};

// A mixer that attends by a pattern.
class PatternAttention final : public GroupedAttention {
public:
    static std::unique_ptr<Mixer> load(std::unique_ptr<const Pattern> pattern,
                                       const MixerPlan& plan,
                                       TensorLoader& load,
                                       const std::string& prefix);

    PatternAttention(std::unique_ptr<const Pattern> pattern,
                     const Config& config,
                     std::unique_ptr<Matrix> in,
                     std::unique_ptr<Matrix> out);

    const Pattern& pattern() const { return *pattern_; }

    std::unique_ptr<MixerState> make_state(const StateOptions& options) const override;
    Index state_bytes(Index length) const override;

private:
    std::unique_ptr<const Pattern> pattern_;
};

}  // namespace kvlab
