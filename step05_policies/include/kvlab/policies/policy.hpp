// policy.hpp - chapter 5: the question that every policy answers: of the tokens that are held,
// which may go?
//
// A policy rates slots, and the lowest go. It never touches keys, values or the decoder, and
// keeps nothing itself: what it has to remember of a token is a few floats beside the token's
// slot, which the cache (slot_cache.hpp) moves, copies and forgets together with the token. So
// one policy object serves any number of sequences.
#pragma once

#include <cstdint>
#include <limits>
#include <span>

#include <kvlab/attention/layer_rows.hpp>
#include <kvlab/tensor/tensor.hpp>

namespace kvlab {

// The rating of what must stay.
inline constexpr float kProtected = std::numeric_limits<float>::infinity();

// What one layer and KV head holds while its policy is asked.
struct HeadSlots {
    // ANCHOR: head_slots
    Index layer = 0, kv_head = 0;
    Index prompt = 0;  // its tokens: as the cache was told, else of the first step
    Index next = 0;    // the position behind the last token of the current step
    std::span<const std::int32_t> positions;  // [slots] in slot order, which is any order
    float* state = nullptr;                   // [state_rows, stride]
    Index stride = 0;
    // Where the keys and values of the slots lie, and as which KV head there.
    const LayerRows* rows = nullptr;
    Index head_of_rows = 0;

    Index slots() const { return std::ssize(positions); }

    Index position(Index slot) const { return at(positions, slot); }

    float* row(Index r) const { return state + r * stride; }

    // ANCHOR_END: head_slots

    // ANCHOR: read_rows
    // The key and the value of a slot [D], turned back if the rows turn them. A key is in the
    // form that the rows say: after RoPE, or before it.
    void read_key(Index slot, std::span<float> to) const {
        for (Index i = 0; i < std::ssize(to); ++i) at(to, i) = rows->key(head_of_rows, slot, i);
        if (rows->turns()) rows->turn(to);
    }

    void read_value(Index slot, std::span<float> to) const {
        for (Index i = 0; i < std::ssize(to); ++i)
            at(to, i) = rows->value(head_of_rows, slot, i);
        if (rows->turns()) rows->turn(to);
    }

    // ANCHOR_END: read_rows
};

// Rates the last `count` tokens as protected.
inline void protect_last(const HeadSlots& head, Index count, std::span<float> ratings) {
    for (std::size_t s = 0; s < ratings.size(); ++s)
        if (head.positions[s] >= head.next - count) ratings[s] = kProtected;
}

// One KV head, rated, while budgets are shared out.
struct RatedHead {
    HeadSlots slots;
    std::span<const float> ratings;  // [slots]
};

class Policy {
public:
    virtual ~Policy() = default;

    // ANCHOR: keep
    // How many of `seen` tokens each KV head of this layer keeps between steps, at least 1.
    // Never falls while seen grows.
    virtual Index keep(Index layer, Index seen) const = 0;

    // False: tokens go after every step. True: once, after the prompt, and never again.
    virtual bool once() const { return false; }

    // ANCHOR_END: keep

    // ANCHOR: more
    // True: the KV heads have budgets of their own, and allot() says which, once, after the
    // prompt. Until then nothing goes, and from then on no shares are computed.
    virtual bool allots() const { return false; }

    // How many slots each head keeps from then on, [L * Hkv] by layers. At first `budgets` are
    // what keep() says. kAll: whatever comes. Of a policy that goes on evicting, which numbers
    // there are, if not whose, must not depend on the ratings.
    virtual void allot(std::span<const RatedHead> /*heads*/,
                       std::span<Index> /*budgets*/) const {}

    // True: what is kept beside the slots goes when the policy has evicted, once, or allotted.
    virtual bool drops_state() const { return false; }

    // Of how many last tokens of a step it wants to see the shares; 0: none, and then nobody
    // computes them.
    static constexpr Index kAll = std::numeric_limits<Index>::max();

    virtual Index observed() const { return 0; }

    // Whether one set for all KV heads of a layer is chosen, from the shares of all.
    virtual bool per_layer() const { return false; }

    // ANCHOR_END: more

    // ANCHOR: questions
    // Floats that are kept beside each slot. They are 0 when a token comes.
    virtual Index state_rows() const { return 0; }

    // A token has come into `slot`.
    virtual void arrive(const HeadSlots&,
                        Index /*slot*/,
                        std::span<const float> /*key*/) const {}

    // One query, which sees the slots [0, shares.size()), has shared out its attention so.
    // Queries come in the order of the text.
    virtual void observe(const HeadSlots&,
                         Index /*query_position*/,
                         std::span<const float> /*shares*/) const {}

    // The rating of each slot: the lowest go; of equal ones, those of later tokens. Not NaN.
    virtual void rate(const HeadSlots&, std::span<float> ratings) const = 0;

    // ANCHOR_END: questions

    // ANCHOR: ask
    // Whether it wants to see queries, as well as shares.
    virtual bool asks_queries() const { return false; }

    // The token in `slot` asks so, in the heads that share this KV head, in the form that
    // attend() gets. Until the prompt ends.
    virtual void ask(const HeadSlots&,
                     Index /*slot*/,
                     const View<const float>& /*queries*/) const {}  // [Hq / Hkv, D]

    // ANCHOR_END: ask
};

}  // namespace kvlab
