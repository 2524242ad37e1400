#include <kvlab/serving/costs.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace kvlab {

namespace {

// Tokens in a step, or of a text in it, up to which bytes are waited for; above, FLOPs are.
struct Ridges {
    Index matrices, attention;
};

// 0: always FLOPs; the last one: always bytes. In between steps of a half.
std::vector<Index> all_ridges() {
    std::vector<Index> ridges;
    for (Index tokens = 0; tokens <= 1024; tokens += std::max<Index>(1, tokens / 2))
        ridges.push_back(tokens);
    ridges.push_back(std::numeric_limits<Index>::max());
    return ridges;
}

// Which steps wait for the bytes of their matrices, and which texts for those of their cache.
struct Sides {
    std::vector<bool> matrices;                // [steps]
    std::vector<std::vector<bool>> attention;  // [steps][texts]
};

class Fit {
public:
    Fit(const ServedModel& model, std::span<const StepSample> samples) : samples_(samples) {
        for (const StepSample& sample : samples) {
            check(sample.seconds > 0, "fit: a step of ", sample.seconds, " seconds");
            works_.push_back(step_work(model, sample.batch));
        }
    }

    // ANCHOR: fit
    StepCost best() const {
        StepCost best;
        double least = std::numeric_limits<double>::infinity();
        const auto improves = [&](const Sides& sides) {
            const StepCost cost = solve(sides);
            const double error = squared_error(cost);
            if (!(error < least)) return false;
            least = error;
            best = cost;
            return true;
        };
        for (const Index matrices : all_ridges())
            for (const Index attention : all_ridges())
                improves(sides_of(Ridges{matrices, attention}));
        // Where a step lies is then asked of the coefficients themselves.
        constexpr int kMostRounds = 20;
        for (int round = 0; round < kMostRounds && improves(sides_of(best)); ++round) continue;
        return best;
    }

    // ANCHOR_END: fit

private:
    template <class InBytes, class TextInBytes>
    Sides sort_by(InBytes&& in_bytes, TextInBytes&& text_in_bytes) const {
        Sides sides;
        for (const StepWork& work : works_) {
            sides.matrices.push_back(in_bytes(work));
            sides.attention.emplace_back();
            for (const TextWork& text : work.texts)
                sides.attention.back().push_back(text_in_bytes(text));
        }
        return sides;
    }

    Sides sides_of(const Ridges& ridges) const {
        return sort_by([&](const StepWork& work) { return work.tokens <= ridges.matrices; },
                       [&](const TextWork& text) { return text.tokens <= ridges.attention; });
    }

    Sides sides_of(const StepCost& c) const {
        return sort_by(
            [&](const StepWork& work) {
                return c.per_weight_byte * work.weight_bytes > c.per_flop * work.flops;
            },
            [&](const TextWork& text) {
                return c.per_cache_byte * text.cache_bytes > c.per_attention_flop * text.flops;
            });
    }

    // A step divided by its own seconds: the error that is made small is then a relative one.
    StepCost solve(const Sides& sides) const {
        constexpr Index kColumns = 6;
        std::vector<double> a;
        for (std::size_t i = 0; i < works_.size(); ++i) {
            const StepWork& work = works_[i];
            double row[kColumns] = {1, static_cast<double>(work.texts.size()), 0, 0, 0, 0};
            if (sides.matrices[i])
                row[2] = work.weight_bytes;
            else
                row[3] = work.flops;
            for (std::size_t t = 0; t < work.texts.size(); ++t) {
                if (sides.attention[i][t])
                    row[4] += work.texts[t].cache_bytes;
                else
                    row[5] += work.texts[t].flops;
            }
            for (const double x : row) a.push_back(x / samples_[i].seconds);
        }
        const std::vector<double> ones(works_.size(), 1.0);
        const std::vector<double> x = solve_non_negative(a, ones, kColumns);
        return {x[0], x[1], x[2], x[3], x[4], x[5]};
    }

    double squared_error(const StepCost& cost) const {
        double sum = 0;
        for (std::size_t i = 0; i < works_.size(); ++i) {
            const double off = cost.seconds(works_[i]) / samples_[i].seconds - 1;
            sum += off * off;
        }
        return sum;
    }

    std::span<const StepSample> samples_;
    std::vector<StepWork> works_;
};

}  // namespace

ServedModel ServedModel::of_floats(const Config& config) {
    const CostModel floats(config);
    const Index embedding =
        config.tied_output ? 0 : config.vocab * config.dim * Index{sizeof(float)};
    return {config, floats.weight_bytes(), floats.cache_bytes_per_token(),
            floats.weight_bytes() + embedding};
}

// ANCHOR: step_work
StepWork step_work(const ServedModel& model, std::span<const StepShape> batch) {
    StepWork step;
    step.weight_bytes = static_cast<double>(model.weight_bytes);
    step.texts.reserve(batch.size());
    for (const StepShape& text : batch) {
        const Flops flops = step_flops(model.config, text.past, text.T, text.rows);
        step.tokens += text.T;
        step.flops += static_cast<double>(flops.total() - flops.attention);
        // Keys and values of the past and of these tokens are read, those of these written.
        const auto bytes =
            static_cast<double>(model.bytes_per_token * (text.past + 2 * text.T));
        step.texts.push_back({text.T, bytes, static_cast<double>(flops.attention)});
    }
    return step;
}

double StepCost::seconds(const StepWork& work) const {
    double sum = per_step + per_text * static_cast<double>(work.texts.size()) +
                 std::max(per_weight_byte * work.weight_bytes, per_flop * work.flops);
    for (const TextWork& text : work.texts)
        sum += std::max(per_cache_byte * text.cache_bytes, per_attention_flop * text.flops);
    return sum;
}

// ANCHOR_END: step_work

StepCost fit_cost(const ServedModel& model, std::span<const StepSample> samples) {
    check(!samples.empty(), "fit: no samples");
    return Fit(model, samples).best();
}

std::vector<double> prediction_errors(const ServedModel& model,
                                      const StepCost& cost,
                                      std::span<const StepSample> samples) {
    std::vector<double> errors;
    for (const StepSample& sample : samples)
        errors.push_back(
            std::fabs(cost.seconds(step_work(model, sample.batch)) / sample.seconds - 1));
    return errors;
}

}  // namespace kvlab
