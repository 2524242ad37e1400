// coded_rows.hpp - chapter 6: rows of keys and values in few bits, for any store.
//
// Every row is rounded once, when it comes, and attention goes on in floats. So cached =
// uncached holds bit for bit, between runs that keep the same numbers; against the float cache
// it must not hold. In chapter 3's cache slot = position; a policy of chapter 5 moves rows,
// each with its own scales.
#pragma once

#include <string>

#include <kvlab/attention/layer_rows.hpp>
#include <kvlab/quant/coded_side.hpp>
#include <kvlab/quant/hadamard.hpp>

namespace kvlab {

struct QuantOptions {
    Format keys = &formats::f32, values = &formats::f32;
    // Keys and queries are turned by a Hadamard matrix after RoPE, values before they are
    // kept and the output back. Refused for a head_dim that is no power of two. A format that
    // is turned at random is, whatever is said here, and both sides are.
    bool turn = false;
    // Keys are kept before RoPE, and rotated by it when they are read. Excludes all turns: RoPE
    // does not commute with them.
    bool before_rope = false;
    Index sinks = 0;                  // first tokens, whose rows stay floats
    Index residual = 128;             // KIVI: tokens that stay f16; a multiple of 32
    std::uint64_t seed = kTurboSeed;  // TurboQuant: of its turn and its sketch

    bool turns_at_random() const { return keys->turned || values->turned; }

    bool turns() const { return turn || turns_at_random(); }

    bool operator==(const QuantOptions&) const = default;
};

// Throws Error for a head_dim that is no power of two.
RowTurn turn_of(const QuantOptions& options, Index head_dim);

// "kivi4/q8_0 rotated sinks 4": keys, values and what is not usual.
std::string quant_name(const QuantOptions& options);

class CodedRows final : public LayerRows {
public:
    // Throws Error, naming what does not fit: a code and the head_dim, the head_dim and the
    // matrix, a residual.
    CodedRows(const QuantOptions& options,
              Index slots,
              Index kv_heads,
              Index head_dim,
              SimdLevel level = default_simd_level());

    std::unique_ptr<LayerRows> make(Index slots) const override;

    // KIVI's keys share their scales with 31 neighbours in the text, which a
    // policy would separate.
    void check_movable() const override;

    void open(Index first, Index T) override;
    void close(Index first, Index T) override;

    // KIVI: the same token is f16 for one that comes soon and codes for a later one.
    void see_from(Index position) noexcept override { seen_ = position; }

    bool tokens_differ() const override { return keys_.waits() || values_.waits(); }

    // KIVI forgets the f16 of what became codes, so it can go back only as far as none of what
    // waited then is codes now.
    void check_truncate(Index length, Index to) const override;

    KeyForm key_form() const override {
        return options_.before_rope ? KeyForm::unrotated : KeyForm::rotated;
    }

    bool turns() const override { return turn_.turns(); }

    void turn(std::span<float> row) const override { turn_.apply(row); }

    Index slot_bytes() const override {
        return keys_.tiles().row_bytes() + values_.tiles().row_bytes();
    }

    const float* read_keys(Index kv_head, Index tile, float* scratch) const override {
        return keys_.read(kv_head, tile, seen_, scratch);
    }

    const float* read_values(Index kv_head, Index tile, float* scratch) const override {
        return values_.read(kv_head, tile, seen_, scratch);
    }

    Index held_bytes(Index count) const override {
        return keys_.held_bytes(count) + values_.held_bytes(count);
    }

    // Of the rows that the token at this position sees: how KIVI is compared with formats that
    // code every row at once, since its newest tokens are f16.
    Index seen_bytes(Index position) const {
        return keys_.seen_bytes(position) + values_.seen_bytes(position);
    }

    Index allocated_bytes() const override {
        return keys_.allocated_bytes() + values_.allocated_bytes();
    }

    void visit_memory(const VisitMemory& visit) override {
        keys_.visit_memory(visit);
        values_.visit_memory(visit);
    }

    float key(Index kv_head, Index slot, Index i) const override {
        return keys_.number(kv_head, slot, seen_, i);
    }

    float value(Index kv_head, Index slot, Index i) const override {
        return values_.number(kv_head, slot, seen_, i);
    }

private:
    void write_slots(Index first,
                     Index position,
                     const View<const float>& k,
                     const View<const float>& v) override;
    void write_side(CodedSide& side,
                    Index first,
                    Index position,
                    const View<const float>& rows);
    void copy_slots(const LayerRows& other, Index count) override;
    void move_slot(Index kv_head, Index from, Index to) override;

    QuantOptions options_;
    SimdLevel level_;
    RowTurn turn_;
    CodedSide keys_, values_;
    Index seen_ = 0;
};

// For stores: KvCache, and SlotCacheOptions and PolicyContext of chapter 5.
MakeRows coded_rows(const QuantOptions& options, SimdLevel level = default_simd_level());

}  // namespace kvlab
