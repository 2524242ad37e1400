// Chapter 3's tasks 3.6 and 3.7: the first difference of two recordings, and what a cache holds
// against what a whole pass computes.
#include <kvlab/attention/generate.hpp>
#include <kvlab/attention/wrapped_engine.hpp>
#include <kvlab/kvcache/diverge.hpp>
#include <kvlab/kvcache/kv_cache.hpp>
#include <kvlab/kvcache/verify.hpp>

#include "task_model.hpp"

using namespace kvlab;
using namespace kvlab::course;

namespace {

// The recordings of one run, step by step, from the question's flat arrays. `operators` is
// [n, 4]: operator, layer, width, and how many rows at most (1 for logits).
std::vector<StepRecord> recorded(const Given& given, const std::string& run) {
    const std::vector<Index> operators = given.integers("operators"),
                             rows = given.integers(("rows of " + run).c_str()),
                             first = given.integers(("first of " + run).c_str());
    const std::vector<float> numbers = given.floats(run.c_str());
    std::vector<StepRecord> steps;
    auto next = numbers.begin();
    for (std::size_t s = 0; s < rows.size(); ++s) {
        StepRecord& step = steps.emplace_back();
        for (std::size_t i = 0; i < operators.size(); i += 4) {
            const Index R = std::min(rows[s], operators[i + 3]), width = operators[i + 2];
            OpRecord record{static_cast<Op>(operators[i]), operators[i + 1], {}, width, {}};
            for (Index r = rows[s] - R; r < rows[s]; ++r)
                record.positions.push_back(first[s] + r);
            record.rows.assign(next, next + R * width);
            next += R * width;
            step.push_back(std::move(record));
        }
    }
    return steps;
}

constexpr const char* kFields[] = {
    "step", "layer", "operator", "position", "position in the second run", "head", "component"};

}  // namespace

KVLAB_TASK_CASE("3.6 first difference: rows are compared from the end") {
    const std::vector<StepRecord> a = recorded(given, "a"), b = recorded(given, "b");
    Comparison comparison(given.number("head_dim"), given.real("tolerance"));
    for (std::size_t s = 0; s < a.size(); ++s) comparison.add(a[s], b[s]);
    std::vector<Index> distances;
    std::vector<float> numbers;
    std::vector<Index> place(std::size(kFields), -9);  // where nothing differs
    if (const auto& first = comparison.first()) {
        place = {first->step,     first->layer,      static_cast<Index>(first->op),
                 first->position, first->position_b, first->head,
                 first->index};
        numbers = {first->a, first->b};
    }
    for (std::size_t i = 0; i < place.size(); ++i)
        answer.number(concat(kFields[i], " of the first").c_str(), place[i]);
    for (const auto& step : comparison.max_ulp())
        for (const std::uint64_t distance : step)
            distances.push_back(static_cast<Index>(distance));
    answer.number("floats compared", comparison.all().count);
    answer.number("floats that differ", comparison.all().differ);
    answer.number("floats beyond the tolerance", comparison.beyond());
    answer.floats("numbers", numbers);
    answer.integers("largest distance", distances,
                    {comparison.steps(), std::ssize(distances) / comparison.steps()});
}

namespace {

// Adds to one column of the queries, keys and values of the n-th single row: a fault that the
// run with the cache has alone, since the other always brings several rows.
class Planted final : public WrappedEngine {
public:
    Planted(const Config& config, Index step, Index layer, Index column, float by)
        : WrappedEngine(make_cpu_engine()),
          width_(config.qkv_width()),
          call_(step * config.layers + layer),
          column_(column),
          by_(by) {}

    void linear(const Matrix& w,
                const float* bias,
                const View<const float>& x,
                const View<float>& y) override {
        WrappedEngine::linear(w, bias, x, y);
        if (x.dim(0) == 1 && y.dim(1) == width_ && calls_++ == call_) y(0, column_) += by_;
    }

private:
    Index width_, call_, column_, calls_ = 0;
    float by_;
};

// Adds to one number of the last pass over `held` rows: the pass that the cache is compared
// with. Which call that is, is counted first, in a run that changes nothing.
class PlantedLast final : public WrappedEngine {
public:
    PlantedLast(const Config& config, const Given& given)
        : WrappedEngine(make_cpu_engine()),
          width_(config.qkv_width()),
          from_the_end_(config.layers - given.number("layer")),
          held_(given.number("held")),
          position_(given.number("position")),
          column_(given.number("column")),
          by_(static_cast<float>(given.real("by"))) {}

    // Whatever was counted so far is forgotten.
    void count() { calls_ = 0; }

    // The call that has been the last one of the layer is the one to change from now on.
    void arm() { call_ = std::exchange(calls_, 0) - from_the_end_; }

    void linear(const Matrix& w,
                const float* bias,
                const View<const float>& x,
                const View<float>& y) override {
        WrappedEngine::linear(w, bias, x, y);
        if (x.dim(0) == held_ && y.dim(1) == width_ && calls_++ == call_)
            y(position_, column_) += by_;
    }

private:
    Index width_, from_the_end_, held_, position_, column_;
    float by_;
    Index call_ = -1, calls_ = 0;
};

// Of what the caches hold after the same generation, layer by layer, position by position.
Checksum sum_of_caches(Decoder& decoder,
                       std::span<const std::vector<Token>> prompts,
                       Index steps) {
    std::vector<std::unique_ptr<KvCache>> caches;
    Generator generator(decoder);
    for (const auto& prompt : prompts) {
        caches.push_back(
            std::make_unique<KvCache>(decoder.kv_shape(), std::ssize(prompt) + steps));
        generator.add(*caches.back(), prompt, steps);
    }
    generator.run();
    const KvShape shape = decoder.kv_shape();
    Checksum sum;
    for (const auto& cache : caches)
        for (Index layer = 0; layer < shape.layers; ++layer)
            for (Index t = 0; t < cache->next_position(); ++t)
                for (const bool is_key : {true, false})
                    for (Index h = 0; h < shape.kv_heads; ++h)
                        for (Index i = 0; i < shape.head_dim; ++i)
                            sum.add(is_key ? cache->key(layer, h, t, i)
                                           : cache->value(layer, h, t, i));
    return sum;
}

std::vector<std::vector<Token>> prompts_of(const Given& given) {
    const std::vector<Token> all = tokens_of(given, "tokens");
    std::vector<std::vector<Token>> prompts;
    auto next = all.begin();
    for (const Index length : given.integers("lengths")) {
        prompts.emplace_back(next, next + length);
        next += length;
    }
    return prompts;
}

VerifyOptions options_of(const Given& given) {
    VerifyOptions options;
    options.steps = given.number("steps");
    options.chunks = {0};
    return options;
}

}  // namespace

KVLAB_TASK_CASE("3.7 proof: every number of every cache is compared") {
    TaskModel tiny(given);
    const auto prompts = prompts_of(given);
    const VerifyReport report = verify(tiny.decoder, prompts, options_of(given));
    answer.number("floats compared", report.cache.count);
    answer.number("floats that differ", report.cache.differ);
    answer.text("checksum", report.cache_sum.hex());
    answer.text("checksum of the caches",
                sum_of_caches(tiny.decoder, prompts, given.number("steps")).hex());
}

KVLAB_TASK_CASE("3.7 proof: a planted difference is found at its place") {
    TaskModel tiny(given, std::make_unique<Planted>(
                              config_of(given), given.number("step"), given.number("layer"),
                              given.number("column"), static_cast<float>(given.real("by"))));
    const VerifyReport report = verify(tiny.decoder, prompts_of(given), options_of(given));
    answer.number("floats compared", report.cache.count);
    answer.number("floats that differ", report.cache.differ);
    answer.number("index of the first", report.cache.first);
}

KVLAB_TASK_CASE(
    "3.7 proof: the first difference is told in words, and the sum is that of the cache") {
    auto engine = std::make_unique<PlantedLast>(config_of(given), given);
    PlantedLast& planted = *engine;
    TaskModel tiny(given, std::move(engine));
    const auto prompts = prompts_of(given);
    answer.text("checksum of the caches",
                sum_of_caches(tiny.decoder, prompts, given.number("steps")).hex());
    planted.count();
    verify(tiny.decoder, prompts, options_of(given));
    planted.arm();
    const VerifyReport report = verify(tiny.decoder, prompts, options_of(given));
    answer.text("first difference", report.first_difference);
    answer.text("checksum", report.cache_sum.hex());
}
