// Step 7: what a step costs: the work is chapter 3's to the byte, the solver and the fit find
// coefficients that are known, and machines by data sheet are computed by hand.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include <kvlab/serving/costs.hpp>
#include <kvlab/serving/measure_steps.hpp>
#include <kvlab/serving/simulated_steps.hpp>

#include "models.hpp"
#include "random_data.hpp"

using namespace kvlab;
using namespace kvlab::test;

namespace {

// As ratios: doctest's Approx takes all numbers below 10^-5 for the same.
void check_same_cost(const StepCost& found, const StepCost& expected) {
    CHECK(found.per_step / expected.per_step == doctest::Approx(1));
    CHECK(found.per_text / expected.per_text == doctest::Approx(1));
    CHECK(found.per_weight_byte / expected.per_weight_byte == doctest::Approx(1));
    CHECK(found.per_flop / expected.per_flop == doctest::Approx(1));
    CHECK(found.per_cache_byte / expected.per_cache_byte == doctest::Approx(1));
    CHECK(found.per_attention_flop / expected.per_attention_flop == doctest::Approx(1));
}

// A machine whose coefficients are known. Its matrices wait for bytes up to 7 tokens, whether
// or not all of them want logits, and for FLOPs from 8 on; attention up to 4 tokens of a text.
StepCost known_cost(const ServedModel& model) {
    const StepWork one = step_work(model, std::vector<StepShape>{{100, 1, 1}});
    const StepWork many = step_work(model, std::vector<StepShape>{{100, 7, 7}});
    return {.per_step = 2e-5,
            .per_text = 3e-6,
            .per_weight_byte = 1e-10,
            .per_flop = 1e-10 * many.weight_bytes / (1.02 * many.flops),
            .per_cache_byte = 4e-10,
            .per_attention_flop = 4e-10 * one.texts[0].cache_bytes / one.texts[0].flops / 4};
}

std::vector<StepSample> samples_of(const ServedModel& model, const StepCost& cost) {
    std::vector<StepSample> samples;
    for (const Index texts : {1, 2, 5, 12})
        for (const Index past : {0, 30, 200})
            for (const Index T : {1, 2, 16, 90}) {
                StepSample sample;
                for (Index i = 0; i < texts; ++i) sample.batch.push_back({past + i, T, 1});
                sample.seconds = cost.seconds(step_work(model, sample.batch));
                samples.push_back(sample);
            }
    return samples;
}

}  // namespace

TEST_SUITE_BEGIN("step07");

TEST_CASE("costs: the work of a step is what chapter 3 counts") {
    for (const Config& config : {small_config(), tiny_config(), small_gpt2()}) {
        const ServedModel model = ServedModel::of_floats(config);
        const std::vector<StepShape> batch = {{0, 70, 0}, {31, 1, 1}, {64, 5, 5}};
        const Work work = CostModel(config).step(batch);
        const StepWork step = step_work(model, batch);
        double cache = 0, attention = 0;
        for (const TextWork& text : step.texts) {
            cache += text.cache_bytes;
            attention += text.flops;
        }
        CHECK(step.tokens == 76);
        CHECK(step.texts.size() == 3);
        CHECK(step.texts[2].tokens == 5);
        CHECK(step.weight_bytes == static_cast<double>(work.weight_bytes));
        CHECK(cache == static_cast<double>(work.cache_read + work.cache_written));
        CHECK(attention == static_cast<double>(work.flops.attention));
        CHECK(step.flops == static_cast<double>(work.flops.total() - work.flops.attention));
        // In half the bytes.
        ServedModel narrow = model;
        narrow.bytes_per_token /= 2;
        CHECK(step_work(narrow, batch).texts[0].cache_bytes * 2 == step.texts[0].cache_bytes);
    }
}

TEST_CASE("costs: seconds by hand on both sides of both ridges") {
    const StepCost cost{1, 10, 2, 3, 5, 7};
    StepWork work;
    work.weight_bytes = 100;
    work.flops = 60;
    work.texts = {{1, 4, 2}, {1, 1, 9}};
    // 1 + 2 texts + max(200, 180) + max(20, 14) + max(5, 63)
    CHECK(cost.seconds(work) == 1 + 20 + 200 + 20 + 63);
    work.flops = 70;
    CHECK(cost.seconds(work) == 1 + 20 + 210 + 20 + 63);
}

TEST_CASE("least squares: a positive solution is found and a negative one is cut off") {
    // x = (2, 3) exactly.
    const std::vector<double> a = {1, 0, 0, 1, 1, 1, 2, 1};
    std::vector<double> b = {2, 3, 5, 7};
    std::vector<double> x = solve_non_negative(a, b, 2);
    CHECK(x[0] == doctest::Approx(2));
    CHECK(x[1] == doctest::Approx(3));
    // (2, -1) without a sign; with one the second is 0, and the first is the mean that is left.
    b = {2, -1, 1, 3};
    x = solve_non_negative(a, b, 2);
    CHECK(x[1] == 0);
    CHECK(x[0] == doctest::Approx((2 + 1 + 2 * 3) / 6.0));
    // All against the signs: nothing is best.
    CHECK(solve_non_negative(a, std::vector<double>{-1, -1, -1, -1}, 2) ==
          std::vector<double>{0, 0});
    // A column twice: one of them is enough.
    x = solve_non_negative(std::vector<double>{1, 1, 2, 2}, std::vector<double>{3, 6}, 2);
    CHECK(x[0] + x[1] == doctest::Approx(3));
    CHECK_THROWS_AS(solve_non_negative(a, b, 3), Error);
    CHECK_THROWS_AS(solve_non_negative(a, {}, 2), Error);
}

TEST_CASE("least squares: no other choice is nearer") {
    Rng rng(4);
    for (int round = 0; round < 20; ++round) {
        std::vector<double> a, b;
        for (int r = 0; r < 9; ++r) {
            for (int k = 0; k < 4; ++k) a.push_back(static_cast<double>(rng.normal()));
            b.push_back(static_cast<double>(rng.normal()));
        }
        const std::vector<double> best = solve_non_negative(a, b, 4);
        const auto error = [&](const std::vector<double>& x) {
            double sum = 0;
            for (std::size_t r = 0; r < 9; ++r) {
                double off = -b[r];
                for (std::size_t k = 0; k < 4; ++k) off += a[r * 4 + k] * x[k];
                sum += off * off;
            }
            return sum;
        };
        for (std::size_t k = 0; k < 4; ++k) {
            CHECK(best[k] >= 0);
            for (const double move : {-1e-3, 1e-3}) {
                std::vector<double> near = best;
                near[k] = std::max(0.0, near[k] + move);
                CHECK(error(near) >= error(best));
            }
        }
    }
}

TEST_CASE("least squares: columns of very different sizes are no worse") {
    const std::vector<double> a = {1, 1e10, 1, 3e10, 1, 7e10};
    const std::vector<double> b = {1e-5 + 1, 1e-5 + 3, 1e-5 + 7};
    const std::vector<double> x = solve_non_negative(a, b, 2);
    CHECK(x[0] / 1e-5 == doctest::Approx(1).epsilon(1e-3));
    CHECK(x[1] / 1e-10 == doctest::Approx(1));
}

TEST_CASE("fit: known coefficients are found again with both ridges") {
    const ServedModel model = ServedModel::of_floats(small_config());
    const StepCost cost = known_cost(model);
    const std::vector<StepSample> samples = samples_of(model, cost);
    const StepCost fit = fit_cost(model, samples);
    // Both sides of both ridges were seen.
    Index by_bytes = 0, by_flops = 0;
    for (const StepSample& sample : samples) {
        const StepWork work = step_work(model, sample.batch);
        const bool bytes =
            cost.per_weight_byte * work.weight_bytes > cost.per_flop * work.flops;
        (bytes ? by_bytes : by_flops) += 1;
    }
    CHECK(by_bytes > 5);
    CHECK(by_flops > 5);
    const std::vector<double> errors = prediction_errors(model, fit, samples);
    CHECK(*std::max_element(errors.begin(), errors.end()) < 1e-6);
    check_same_cost(fit, cost);
}

TEST_CASE("fit: noise of ten percent leaves the prediction within a few") {
    const ServedModel model = ServedModel::of_floats(small_config());
    std::vector<StepSample> samples = samples_of(model, known_cost(model)), noisy = samples;
    Rng rng(8);
    for (StepSample& sample : noisy)
        sample.seconds *= 1 + 0.1 * (static_cast<double>(rng.uniform()) * 2 - 1);
    const StepCost fit = fit_cost(model, noisy);
    std::vector<double> errors = prediction_errors(model, fit, samples);
    std::nth_element(errors.begin(), errors.begin() + 24, errors.end());
    CHECK(errors[24] < 0.03);
}

TEST_CASE("fit: what cannot be fitted is refused") {
    const ServedModel model = ServedModel::of_floats(small_config());
    CHECK_THROWS_AS(fit_cost(model, {}), Error);
    CHECK_THROWS_AS(fit_cost(model, std::vector<StepSample>{{{{0, 1, 1}}, 0}}), Error);
}

TEST_CASE("calibrate: the scheduler's own steps on a known machine give its coefficients") {
    const ServedModel model = ServedModel::of_floats(small_config());
    const StepCost cost = known_cost(model);
    SimulatedSteps steps(model, cost);
    const std::vector<StepWorkload> workloads = spread_workloads(400, 4000);
    CHECK(workloads.size() > 10);
    const StepFit fit = calibrate(steps, steps.kv_shape(), model, workloads,
                                  {.repeats = 2, .token_budget = 90});
    CHECK(fit.fitted > fit.held_out);
    CHECK(fit.held_out > 50);
    CHECK(std::ssize(fit.samples) == fit.fitted + fit.held_out);
    CHECK(std::ssize(fit.held_out_errors) == fit.held_out);
    check_same_cost(fit.cost, cost);
    CHECK(*std::max_element(fit.held_out_errors.begin(), fit.held_out_errors.end()) < 1e-6);
    // Steps of all kinds: a prompt in pieces, many texts, prompts beside texts that write.
    Index pieces = 0, mixed = 0, most = 0;
    for (const StepSample& sample : fit.samples) {
        most = std::max(most, std::ssize(sample.batch));
        bool prompt = false, writes = false;
        for (const StepShape& text : sample.batch) {
            pieces += text.rows == 0 ? 1 : 0;
            prompt = prompt || text.T > 1;
            writes = writes || (text.T == 1 && text.past > 0);
        }
        mixed += prompt && writes ? 1 : 0;
    }
    CHECK(pieces > 0);
    CHECK(mixed > 0);
    CHECK(most == 16);
    CHECK_THROWS_AS(
        calibrate(steps, steps.kv_shape(), model, std::span(workloads).first(2), {}), Error);
}

TEST_CASE("machines: one H100 and a model of 70 billion parameters by hand") {
    const ServedModel model = model_70b(1, 1);
    // Per layer: queries and the way out 8192 x 8192, keys and values 8192 x 1024 each, three
    // of 8192 x 28672; and the output matrix.
    const Index layer = 2 * 8192 * 8192 + 2 * 8192 * 1024 + 3 * Index{8192} * 28672;
    CHECK(model.weight_bytes == 80 * layer + Index{128256} * 8192);
    CHECK(model.bytes_per_token == 2 * 80 * 8 * 128);
    CHECK(model.resident_bytes == model.weight_bytes + Index{128256} * 8192);
    CHECK(model_70b(2, 2).weight_bytes == 2 * model.weight_bytes);
    CHECK(model_70b(2, 2).resident_bytes == 2 * model.resident_bytes);
    CHECK(model_70b(1, 2).bytes_per_token == 2 * model.bytes_per_token);

    const Machine one = h100(1, 80);
    const StepCost cost = one.cost();
    CHECK(1 / cost.per_weight_byte == doctest::Approx(3.35e12 * 0.8));
    CHECK(1 / cost.per_flop == doctest::Approx(989e12 * 0.6));
    CHECK(cost.per_cache_byte == cost.per_weight_byte);
    CHECK(cost.per_attention_flop == cost.per_flop);
    // 80 GB less 2 for activations, less the weights and the embedding.
    const Index left = 78'000'000'000 - model.weight_bytes - Index{128256} * 8192;
    CHECK(tokens_that_fit(one, model) == left / 163840);
    CHECK(tokens_that_fit(one, model_70b(2, 2)) < 0);  // in 16 bits one GPU is not enough
    CHECK(tokens_that_fit(h100(2, 80), model_70b(2, 2)) > 0);
    // A step of one text waits for the weights: 26 ms.
    const double step = cost.seconds(step_work(model, std::vector<StepShape>{{1000, 1, 1}}));
    const double bytes = static_cast<double>(model.weight_bytes) + 1002.0 * 163840;
    CHECK(step / (2e-3 + bytes / 2.68e12) == doctest::Approx(1));
    // Two of them share the reading, and exchange.
    const StepCost two = h100(2, 80).cost();
    CHECK(two.per_weight_byte * 2 / cost.per_weight_byte == doctest::Approx(1));
    CHECK(two.per_step > cost.per_step);
    CHECK_THROWS_AS(h100(9, 80), Error);
}

TEST_SUITE_END();
