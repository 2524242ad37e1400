// Keyformer: Adnan et al. 2024, section 4.2: as H2O, but a query's share is taken of noisy
// scores at a temperature that rises while a text is written,
//   a_j += softmax_j((x_j + g_j) / tau),  g_j ~ Gumbel(0, 1), drawn anew for each query
//   tau = tau_first + t (tau_last - tau_first) / T,  from 1 to 2
// with t of T tokens generated. T is what the text that the cache is made for has after its
// prompt. Where nobody says how long it is, or a cache has no room for more than the prompt, T
// is 100: then tau rises by 0.01 with each token, as in the authors' code. After T tokens it
// stays at tau_last. With --tau-step 0.01 it is that code: tau rises by this with each token,
// without an end.
//
// Since x_j = log P_j up to a constant, and E = exp(-g) is exponential, that softmax is
// (P_j / E_j)^(1 / tau), divided by its sum: no score has to be handed out.
#include <algorithm>
#include <cmath>

#include <kvlab/policies/registry.hpp>
#include <kvlab/tensor/numerics.hpp>

#include "draw.hpp"

namespace kvlab {

namespace {

// log2(x), x > 0, to about 1e-10: x = m 2^e, and log(m) = 2 (z + z^3/3 + z^5/5 ...) with
// z = (m - 1) / (m + 1). Written out, since libm's logarithm is not defined to the bit.
double log2_of(double x) {
    int exponent = 0;
    const double m = std::frexp(x, &exponent), z = (m - 1) / (m + 1), square = z * z;
    double series = 1.0 / 17;
    for (const double term :
         {1.0 / 15, 1.0 / 13, 1.0 / 11, 1.0 / 9, 1.0 / 7, 1.0 / 5, 1.0 / 3, 1.0})
        series = series * square + term;
    return exponent + 2 * z * series * 0x1.71547652b82fep+0;
}

constexpr double kByLength = -1;       // no step of its own
constexpr Index kUnknownLength = 100;  // tokens generated, where nobody says

class Keyformer final : public Policy {
public:
    Keyformer(const PolicyOptions& options, Index tokens)
        : options_(options),
          tokens_(tokens),
          first_(options.own_or("tau-first", 1)),
          last_(options.own_or("tau-last", 2)),
          step_(options.own_or("tau-step", kByLength)) {
        tokens_to_keep(options, 1);
        check_recent(options, "keyformer");
        check(first_ > 0 && last_ > 0, "keyformer: a temperature from ", first_, " to ", last_);
        check(step_ >= 0 || step_ == kByLength, "keyformer: a temperature of ", first_,
              ", rising by ", step_);
    }

    Index keep(Index, Index seen) const override { return tokens_to_keep(options_, seen); }

    Index observed() const override { return kAll; }

    Index state_rows() const override { return 2; }  // the sum; room for one query's numbers

    void observe(const HeadSlots& head,
                 Index query,
                 std::span<const float> shares) const override {
        const Index n = std::ssize(shares);
        const double tau = temperature(head.prompt, query);
        if (!options_.noise && tau == 1.0) {  // the shares themselves: H2O
            for (Index s = 0; s < n; ++s) head.row(0)[s] += at(shares, s);
            return;
        }
        double total = 0;
        for (Index s = 0; s < n; ++s) {
            const float share = at(shares, s);
            const double noise = options_.noise ? log2_noise(head, query, head.position(s)) : 0;
            const float weight = share > 0
                                     ? exp2(static_cast<float>(
                                           (log2_of(static_cast<double>(share)) - noise) / tau))
                                     : 0.0f;
            head.row(1)[s] = weight;
            total += static_cast<double>(weight);
        }
        for (Index s = 0; s < n; ++s)
            head.row(0)[s] += static_cast<float>(static_cast<double>(head.row(1)[s]) / total);
    }

    void rate(const HeadSlots& head, std::span<float> ratings) const override {
        // 30 % of the budget, as in the authors' code.
        const Index recent =
            options_.recent >= 0 ? options_.recent : keep(head.layer, head.next) * 3 / 10;
        std::copy_n(head.row(0), head.slots(), ratings.begin());
        protect_last(head, recent, ratings);
    }

private:
    double temperature(Index prompt, Index query) const {
        const Index generated = std::max<Index>(0, query - prompt + 1);
        if (step_ != kByLength) return first_ + step_ * static_cast<double>(generated);
        const Index in_all = tokens_ > prompt ? tokens_ - prompt : kUnknownLength;
        return first_ + (last_ - first_) * static_cast<double>(std::min(generated, in_all)) /
                            static_cast<double>(in_all);
    }

    // log2 of -log(u), of a number u that belongs to this pair of tokens wherever
    // their slots are.
    double log2_noise(const HeadSlots& head, Index query, Index position) const {
        Rng rng = generator_for({head.layer, head.kv_head, query, position}, options_.seed);
        const double u = (static_cast<double>(rng.next() >> 8) + 0.5) * 0x1p-24;
        return log2_of(log2_of(u) * -0x1.62e42fefa39efp-1);
    }

    PolicyOptions options_;
    Index tokens_;  // of the text, the prompt included
    double first_, last_, step_;
};

}  // namespace

PolicyPointer keyformer_policy(const PolicyOptions& options, Index tokens) {
    return std::make_shared<Keyformer>(options, tokens);
}

std::span<const PolicyEntry> policies_of_keyformer() {
    static constexpr OwnOption kTemperatures[] = {
        {"tau-first", "the temperature in the prompt", 1, 0.01, 1000},
        {"tau-last", "the temperature at the end of the text", 2, 0.01, 1000},
        {"tau-step",
         "instead: it rises by this with each token, in the authors' code by 0.01; -1: by the "
         "length of the text",
         kByLength, -1, 1000}};
    static constexpr PolicyEntry kEntries[] = {
        {.place = 140,
         .name = "keyformer",
         .idea = "as h2o, of noisy scores at a rising temperature",
         .paper = "Adnan et al. 2024, 2403.09054",
         .policy =
             [](const PolicyOptions& options, const PolicyContext& context) {
                 return keyformer_policy(options, context.capacity);
             },
         .draws = true,
         .budget_above = budget_above_recent,
         .own_options = kTemperatures}};
    return kEntries;
}

}  // namespace kvlab
