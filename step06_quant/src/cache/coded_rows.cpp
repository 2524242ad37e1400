#include <kvlab/quant/coded_rows.hpp>

#include <algorithm>

namespace kvlab {

RowTurn turn_of(const QuantOptions& options, Index head_dim) {
    if (options.turns_at_random()) return RowTurn::at_random(head_dim, options.seed);
    return options.turn ? RowTurn::by_hadamard(head_dim) : RowTurn();
}

std::string quant_name(const QuantOptions& options) {
    std::string name = options.keys->name;
    if (options.values != options.keys) name += concat("/", options.values->name);
    if (options.turn) name += " rotated";
    if (options.before_rope) name += " before rope";
    if (options.sinks > 0) name += concat(" sinks ", options.sinks);
    return name;
}

CodedRows::CodedRows(
    const QuantOptions& options, Index slots, Index kv_heads, Index head_dim, SimdLevel level)
    : LayerRows(slots, kv_heads, head_dim),
      options_(options),
      level_(level),
      turn_(turn_of(options, head_dim)),
      keys_({options.keys, options.sinks, options.residual, options.seed},
            CodedTiles::Side::keys,
            slots,
            kv_heads,
            head_dim,
            level),
      values_({options.values->of(false), options.sinks, options.residual, options.seed},
              CodedTiles::Side::values,
              slots,
              kv_heads,
              head_dim,
              level) {
    check(!options.before_rope || !options.turns(),
          "coded rows: keys before RoPE cannot be turned behind it");
}

std::unique_ptr<LayerRows> CodedRows::make(Index slots) const {
    return std::make_unique<CodedRows>(options_, slots, kv_heads_, head_dim_, level_);
}

void CodedRows::check_movable() const {
    for (const Format format : {options_.keys, options_.values})
        check(!format->waits, "coded rows: ", format->name,
              " keeps tokens in groups, and a policy takes single ones");
}

void CodedRows::open(Index first, Index T) {
    keys_.open(first, T);
    values_.open(first, T);
}

void CodedRows::close(Index first, Index T) {
    keys_.close(first, T);
    values_.close(first, T);
}

void CodedRows::check_truncate(Index length, Index to) const {
    check(keys_.can_truncate(length, to) && values_.can_truncate(length, to),
          "coded rows: cannot truncate ", length, " tokens to ", to,
          ": what waited in f16 then is codes now");
}

// ANCHOR: write
void CodedRows::write_slots(Index first,
                            Index position,
                            const View<const float>& k,
                            const View<const float>& v) {
    write_side(keys_, first, position, k);
    write_side(values_, first, position, v);
}

void CodedRows::write_side(CodedSide& side,
                           Index first,
                           Index position,
                           const View<const float>& rows) {
    float numbers[CodedRow::kMost];
    const std::span<float> row = span_of(numbers, head_dim_);
    const Index T = rows.dim(0);
    for (Index h = 0; h < kv_heads_; ++h)
        for (Index t = 0; t < T; ++t) {
            for (Index i = 0; i < head_dim_; ++i) numbers[i] = rows(t, h, i);
            turn(row);
            side.write(h, first + t, position + t, row);
        }
    side.finish_rows(first, T);
}

// ANCHOR_END: write

void CodedRows::copy_slots(const LayerRows& rows, Index count) {
    const auto& other = static_cast<const CodedRows&>(rows);
    check(other.options_ == options_, "coded rows: copy between different kinds");
    keys_.copy_from(other.keys_, count);
    values_.copy_from(other.values_, count);
    seen_ = other.seen_;
}

void CodedRows::move_slot(Index kv_head, Index from, Index to) {
    keys_.move_slot(kv_head, from, to);
    values_.move_slot(kv_head, from, to);
}

MakeRows coded_rows(const QuantOptions& options, SimdLevel level) {
    return [=](const RowsShape& of) {
        return std::make_unique<CodedRows>(options, of.slots, of.kv_heads, of.head_dim, level);
    };
}

}  // namespace kvlab
