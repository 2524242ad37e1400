// ladders.cpp - every rung of every ladder at the sizes of SmolLM2-135M: compared with the
// CPU's plain loops in every bit, and then timed.
#include <kvlab/tensor/numerics.hpp>

#include "bench.hpp"
#include "kernel_problems.hpp"

namespace kvlab::bench {

namespace {

constexpr Index kFloat = sizeof(float);
// SmolLM2-135M.
constexpr Index kWidth = 576, kHeads = 9, kKvHeads = 3, kHeadDim = 64, kVocab = 49152;

// Times `call` and adds its row; `same`: what the comparison said.
template <class Call>
bool add_row(const Setting& setting,
             ColdClock& clock,
             const std::string& op,
             const std::string& shape,
             const char* rung,
             Index bytes,
             bool same,
             Call&& call) {
    const double cold = clock.seconds(call), warm = clock.warm_seconds(call);
    Json row = timed_row(setting, op, shape, rung, cold, warm, static_cast<double>(bytes));
    row["same_bits"] = same;
    setting.rows->add(row);
    return same;
}

bool linear(
    const Setting& setting, ColdClock& clock, TensorType type, Index R, Index N, Index K) {
    const test::LinearProblem problem(type, R, K, N, 7);
    const test::DeviceRows x(R, K, problem.x.flat(), 0), y(R, N, 0);
    const Index bytes = N * bytes_for(type, K) + R * (K + N) * kFloat;
    const std::string shape = concat("R", R, " N", N, " K", K, " ", type_name(type));
    bool all = true;
    for (const LinearRung& rung : linear_rungs()) {
        // Rows are floats: the weights' own format is another rung's business.
        if (type != TensorType::f32 && rung.layout == MatrixLayout::rows) continue;
        const bool same = problem.holds(rung, 0);
        const DeviceMatrix w(problem.packed, rung.layout);
        Scratch scratch;
        all = add_row(setting, clock, "linear", shape, rung.name, bytes, same,
                      [&] {
                          rung.run({w, nullptr, x.view(), y.view(), scratch});
                      }) &&
              all;
    }
    return all;
}

bool norm(const Setting& setting, ColdClock& clock, Index R) {
    const Tensor x = test::random_tensor({R, kWidth}, 1), w = test::random_tensor({kWidth}, 2);
    Tensor expected({R, kWidth});
    for (Index r = 0; r < R; ++r) rms_norm(&x(r, 0), w.data(), 1e-5f, kWidth, &expected(r, 0));
    const test::DeviceRows in(R, kWidth, x.flat(), 0), out(R, kWidth, 0);
    const DeviceArray<float> scale(std::span<const float>(w.flat()), "weight");
    bool all = true;
    for (const NormRung& rung : norm_rungs()) {
        const auto call = [&] { rung.run({in.view(), scale.get(), 1e-5f, out.view()}); };
        call();
        const bool same = test::is_equal(out.values(), expected.flat());
        const Index bytes = (2 * R + 1) * kWidth * kFloat;
        all = add_row(setting, clock, "norm", concat("R", R, " C", kWidth), rung.name, bytes,
                      same, call) &&
              all;
    }
    return all;
}

bool attention(const Setting& setting, ColdClock& clock, Index T, Index past) {
    const test::AttentionProblem problem({T, kHeads, kKvHeads, kHeadDim, past});
    const std::unique_ptr<DeviceArray<float>> keys(problem.upload(problem.keys, "keys")),
        values(problem.upload(problem.values, "values"));
    const Index width = kHeads * kHeadDim, slots = past + T;
    const test::DeviceRows q(T, width, problem.q.flat(), 0), out(T, width, 0);
    const Index bytes = 2 * (kKvHeads * slots * kHeadDim + T * width) * kFloat;
    Scratch scratch;
    bool all = true;
    for (const AttentionRung& rung : attention_rungs()) {
        if (!rung.accepts(T, kHeads / kKvHeads)) continue;
        const bool same = problem.holds(rung, 0);
        const std::string shape = concat("T", T, " slots", slots);
        all = add_row(setting, clock, "attention", shape, rung.name, bytes, same,
                      [&] {
                          rung.run({q.heads(kHeads), keys->get(), values->get(), kKvHeads,
                                    problem.capacity, past, out.heads(kHeads), scratch});
                      }) &&
              all;
    }
    return all;
}

// Its time has the copy of the index to the host in it.
bool argmax(const Setting& setting, ColdClock& clock, Index count) {
    const std::vector<float> values = test::normals(count, 3);
    const auto largest = std::max_element(values.begin(), values.end()) - values.begin();
    const DeviceArray<float> on_device(std::span<const float>(values), "logits");
    bool all = true;
    for (const ArgmaxRung& rung : argmax_rungs()) {
        Scratch scratch;
        const auto call = [&] { return rung.run({on_device.get(), count, 0, &scratch}); };
        const bool same = call() == largest;
        all = add_row(setting, clock, "argmax", concat("V", count), rung.name, count * kFloat,
                      same, call) &&
              all;
    }
    return all;
}

}  // namespace

bool run_ladders(const Setting& setting) {
    ColdClock clock(setting);
    const bool small = setting.small;
    const Index vocab = small ? 128 : kVocab, prompt = small ? 8 : 512;
    bool all = norm(setting, clock, 1);
    all = norm(setting, clock, prompt) && all;
    for (const TensorType type : {TensorType::f32, TensorType::q4_1}) {
        // Queries, keys and values; the output; gate and up; down; the vocabulary.
        all = linear(setting, clock, type, 1, small ? 192 : 960, kWidth) && all;
        all = linear(setting, clock, type, 1, small ? 64 : kWidth, kWidth) && all;
        if (!small) all = linear(setting, clock, type, 1, 3072, kWidth) && all;
        all = linear(setting, clock, type, 1, small ? 64 : kWidth, 1536) && all;
        all = linear(setting, clock, type, 1, vocab, kWidth) && all;
    }
    all = linear(setting, clock, TensorType::f32, prompt, small ? 64 : 3072, kWidth) && all;
    for (const Index past : {Index{63}, Index{255}, Index{511}, Index{2047}, Index{8191}})
        if (!small || past < 256) all = attention(setting, clock, 1, past) && all;
    all = attention(setting, clock, prompt, 0) && all;
    return argmax(setting, clock, vocab) && all;
}

}  // namespace kvlab::bench
