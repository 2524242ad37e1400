#include <kvlab/kvcache/diverge.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace kvlab {

namespace {

bool has_heads(Op op) {
    return op == Op::query || op == Op::key || op == Op::value || op == Op::attention;
}

std::string label_of(const OpRecord& record) {
    return record.layer < 0 ? std::string(op_name(record.op))
                            : concat(record.layer, " ", op_name(record.op));
}

// The largest |a| that is a number.
double largest(std::span<const float> row) {
    double most = 0;
    for (const float x : row)
        if (std::isfinite(x)) most = std::max(most, std::fabs(static_cast<double>(x)));
    return most;
}

// The floats that are further apart than `bound`: NaN or infinity on one side alone is, too.
Beyond find_beyond(std::span<const float> a, std::span<const float> b, double bound) {
    Beyond found;
    for (std::size_t i = 0; i < a.size(); ++i) {
        if (ulp_distance(a[i], b[i]) == 0 ||
            std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i])) <= bound)
            continue;
        if (found.count++ == 0) found.first = static_cast<Index>(i);
    }
    return found;
}

// Largest |a - b| over the largest |a|; infinity where that says nothing.
double relative_difference(std::span<const float> a, std::span<const float> b) {
    double most = 0, scale = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        most = std::max(most, std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
        scale = std::max(scale, std::fabs(static_cast<double>(a[i])));
    }
    return scale > 0 ? most / scale : std::numeric_limits<double>::infinity();
}

}  // namespace

std::string describe(const Divergence& d) {
    return concat("step ", d.step, d.layer < 0 ? std::string() : concat(", layer ", d.layer),
                  ", ", op_name(d.op), d.head < 0 ? std::string() : concat(", head ", d.head),
                  ", position ", d.position,
                  d.position_b == d.position
                      ? std::string()
                      : concat(" (", d.position_b, " in the second run)"),
                  ", element ", d.index);
}

// ANCHOR: likely_cause
std::string likely_cause(const Divergence& d) {
    // Another order of the same sum is off by a few rounding errors of the largest terms; a
    // number kept in 16 or 8 bits by a hundred or ten thousand times as much.
    const bool rounding = d.relative < 1e-5, few_bits = !rounding && d.relative < 2e-2;
    switch (d.op) {
        case Op::embedding:
            return "another token was fed, or it was given another position";
        case Op::query:
        case Op::key:
            if (d.value_too) break;  // then it was the product that all three come from
            if (d.position == 0 && d.position_b == 0 && !rounding)  // not rotated by RoPE
                return "the scale of the scores, or rows of another matrix";
            return rounding ? "RoPE: angles or their products are rounded in another way"
                            : "RoPE: rotated by another position, twice, or not at all";
        case Op::attention:
            // This step's queries, keys and values were equal, or they would have come first.
            if (rounding) return "the order of attention's sums over the slots";
            return few_bits ? "earlier keys or values are kept in fewer bits"
                            : "keys or values: a slot too many, too few or wrong; a mask; the "
                              "two swapped; or a head that reads another head's";
        case Op::attention_norm:
        case Op::ffn_norm:
        case Op::final_norm:
            return "the norm's sum of squares, its epsilon or its weights";
        case Op::attention_add:
        case Op::ffn_add:
            return "the residual stream: something was added twice, or not";
        default:
            break;
    }
    if (rounding)
        return "a matrix product that adds in another order, or rounds between its steps (no "
               "fma): often because one row takes another kernel than many rows";
    return few_bits ? "a matrix product that adds up in fewer bits"
                    : "a matrix product with other weights, or of other rows";
}

// ANCHOR_END: likely_cause

Comparison::Comparison(Index head_dim, double tolerance)
    : head_dim_(head_dim), tolerance_(tolerance) {
    check(head_dim >= 0, "diverge: head_dim is ", head_dim);
    check(tolerance >= 0 && std::isfinite(tolerance), "diverge: a tolerance of ", tolerance);
}

void Comparison::note_first(
    const OpRecord& a, const OpRecord& b, Index row_a, Index row_b, Index i) {
    const auto of_a = a.row(row_a), of_b = b.row(row_b);
    const float left = at(of_a, i), right = at(of_b, i);
    const bool heads = head_dim_ > 0 && has_heads(a.op);
    first_ = Divergence{steps() - 1,
                        a.layer,
                        at(a.positions, row_a),
                        at(b.positions, row_b),
                        a.op,
                        heads ? i / head_dim_ : -1,
                        heads ? i % head_dim_ : i,
                        left,
                        right,
                        ulp_distance(left, right),
                        relative_difference(of_a, of_b),
                        false};
}

Beyond Comparison::find_different(std::span<const float> a, std::span<const float> b) const {
    if (tolerance_ == 0) {  // bits, which tell -0 from +0
        const Difference difference = compare_bits(a, b);
        return {difference.differ, difference.first};
    }
    return find_beyond(a, b, tolerance_ * largest(a));
}

Difference Comparison::compare(const OpRecord& a, const OpRecord& b, Index& beyond) {
    // SOLUTION-BEGIN 3.6
    Difference total;
    const Index rows_a = std::ssize(a.positions), rows_b = std::ssize(b.positions);
    // From the end, since the last rows are those of the same tokens, whatever their positions.
    for (Index r = std::min(rows_a, rows_b); r > 0; --r) {
        const Index row_a = rows_a - r, row_b = rows_b - r;
        const Beyond found = find_different(a.row(row_a), b.row(row_b));
        if (found.count > 0 && !first_) note_first(a, b, row_a, row_b, found.first);
        beyond += found.count;
        total.merge(compare_bits(a.row(row_a), b.row(row_b)));
    }
    return total;
    // SOLUTION-END 3.6
}

// ANCHOR: lock_step
void Comparison::add(const StepRecord& a, const StepRecord& b) {
    check(a.size() == b.size(), "diverge: step ", steps(), ": one run has ", a.size(),
          " operators, the other ", b.size());
    for (std::size_t i = 0; i < a.size(); ++i)
        check(a[i].op == b[i].op && a[i].layer == b[i].layer && a[i].width == b[i].width,
              "diverge: step ", steps(), ": one run does ", label_of(a[i]), " [", a[i].width,
              "] where the other does ", label_of(b[i]), " [", b[i].width, "]");
    const bool differed_before = first_.has_value();
    max_ulp_.emplace_back();
    max_abs_logits_.push_back(0);
    for (std::size_t i = 0; i < a.size(); ++i) {
        if (steps() == 1) labels_.push_back(label_of(a[i]));
        Index beyond = 0;
        const Difference difference = compare(a[i], b[i], beyond);
        max_ulp_.back().push_back(difference.max_ulp);
        if (a[i].op == Op::logits) max_abs_logits_.back() = difference.max_abs;
        if (first_ && !differed_before && a[i].op == Op::value && a[i].layer == first_->layer)
            first_->value_too = beyond > 0;
        beyond_ += beyond;
        all_.merge(difference);
    }
}

namespace {

// Feeds what the store has not seen of the text; returns the last token's logits.
std::span<const float> feed(const Side& side, std::span<const Token> text, Recorder& recorder) {
    const auto seen = usize(side.store.next_position());
    const Observing watched(side.decoder, recorder);
    return side.decoder.forward(side.store, text.subspan(seen)).flat();
}

}  // namespace

DivergeReport diverge(const Side& a,
                      const Side& b,
                      std::span<const Token> prompt,
                      Index steps,
                      const SamplingOptions& sampling) {
    check(!prompt.empty(), "diverge: an empty prompt");
    check(steps >= 1, "diverge: ", steps, " steps");
    check(a.store.next_position() == 0 && b.store.next_position() == 0,
          "diverge: a store has seen tokens already");
    DivergeReport report{
        Comparison(a.decoder.config().head_dim), {prompt.begin(), prompt.end()}, -1};
    Recorder recorder_a, recorder_b;
    Sampler sampler_a(sampling), sampler_b(sampling);  // the same numbers for both
    for (Index step = 0; step < steps; ++step) {
        const Index chosen_a = sampler_a.sample(feed(a, report.text, recorder_a));
        const Index chosen_b = sampler_b.sample(feed(b, report.text, recorder_b));
        report.comparison.add(recorder_a.take(), recorder_b.take());
        if (chosen_a != chosen_b && report.fork_step < 0) report.fork_step = step;
        report.text.push_back(static_cast<Token>(chosen_a));
    }
    return report;
}

// ANCHOR_END: lock_step

}  // namespace kvlab
