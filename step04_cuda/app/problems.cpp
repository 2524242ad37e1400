#include "problems.hpp"

#include <algorithm>
#include <functional>
#include <memory>

#include <kvlab/attention/attention.hpp>
#include <kvlab/cuda/device.hpp>
#include <kvlab/cuda/ladders.hpp>
#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/numerics.hpp>
#include <kvlab/tensor/random.hpp>

namespace kvlab::app {

Index RungRun::sectors() const {
    return sum([](const simt::Counters& c) { return c.loads.sectors + c.stores.sectors; });
}

Index RungRun::sum(Index (*of)(const simt::Counters&)) const {
    Index total = 0;
    for (const simt::LaunchRecord& launch : launches) total += of(launch.counters);
    return total;
}

Json RungRun::launches_json() const {
    Json list = Json::array();
    for (const simt::LaunchRecord& launch : launches) {
        Json part;
        part["kernel"] = launch.kernel;
        part["blocks"] = launch.blocks();
        part["threads"] = launch.threads();
        part["dynamic_shared"] = launch.dynamic_shared;
        for (const auto& [counter, count] : simt::counter_lines(launch.counters))
            if (count != 0) part["counted"][counter] = count;
        list.push_back(part);
    }
    return list;
}

bool Ladder::holds() const {
    return std::all_of(runs.begin(), runs.end(),
                       [&](const RungRun& run) { return run.checksum == expected; });
}

namespace {

Tensor normal_tensor(Shape shape, std::uint64_t seed) {
    Tensor tensor(shape);
    Rng rng(seed);
    for (float& value : tensor.flat()) value = rng.normal();
    return tensor;
}

DeviceArray<float> on_device(const Tensor& tensor, const char* name) {
    return DeviceArray<float>(std::span<const float>(tensor.flat()), name);
}

std::string checksum_of(std::span<const float> values) {
    return hex64(checksum(values));
}

// On a GPU, after a warm-up.
double seconds_of(const std::function<void()>& work) {
    constexpr int kWarmUp = 5, kTimes = 50;
    for (int i = 0; i < kWarmUp; ++i) work();
    DeviceStopwatch watch;
    for (int i = 0; i < kTimes; ++i) work();
    return watch.seconds() / kTimes;
}

// Runs `work` and keeps its launches; `result` is read afterwards.
RungRun run_rung(const Rung& rung,
                 const std::function<void()>& work,
                 const std::function<std::string()>& result) {
    RungRun run{rung.name, rung.idea, {}, {}};
    if (selected_device() == Device::gpu) {
        run.seconds = seconds_of(work);
    } else {
        simt::Options options = simt::current_options();
        options.records = &run.launches;
        const simt::Use use(options);
        work();
    }
    run.checksum = result();
    return run;
}

// y [R, N] = x [R, K] w^T; all of it has `whole` outputs.
Ladder climb_linear(
    const char* key, const char* what, Index R, Index N, Index whole, TensorType type) {
    constexpr Index K = 576;
    const Tensor x = normal_tensor({R, K}, 1), floats = normal_tensor({N, K}, 2);
    PackedMatrix packed(N, K, type);
    if (type == TensorType::f32) {
        packed.set_outputs(0, std::as_bytes(floats.flat()));
    } else {  // any bytes are weights, if their scales are small
        std::vector<std::byte> blocks(usize(N * bytes_for(type, K)));
        Rng rng(3);
        for (std::size_t i = 0; i < blocks.size(); ++i)
            blocks[i] = static_cast<std::byte>(
                i % usize(block_bytes(type)) < 4 ? 0x20 : rng.below(256));
        packed.set_outputs(0, blocks);
    }
    Tensor w({N, K}), expected({R, N});
    for (Index n = 0; n < N; ++n) packed.read(n, w.view()[n].flat());
    matmul_plain(x.view(), w.view(), expected.view());
    Ladder ladder{key,
                  what,
                  concat("x ", x.shape(), ", w ", w.shape(), " ", type_name(type)),
                  N * bytes_for(type, K) + (R * K + R * N) * 4,
                  checksum_of(expected.flat()),
                  {}};
    ladder.copies = whole / N;
    ladder.whole_bytes = whole * bytes_for(type, K) + (R * K + R * whole) * 4;
    const DeviceArray<float> in = on_device(x, "x");
    for (const LinearRung& rung : linear_rungs()) {
        if (type != TensorType::f32 && rung.layout == MatrixLayout::rows) continue;
        const DeviceMatrix weights(packed, rung.layout);
        const DeviceArray<float> out(R * N, "y");
        const View<const float> rows(in.get(), {R, K});
        const View<float> products(out.get(), {R, N});
        Scratch scratch;
        ladder.runs.push_back(run_rung(
            rung,
            [&] {
                rung.run({weights, nullptr, rows, products, scratch});
            },
            [&] { return checksum_of(out.to_host()); }));
    }
    return ladder;
}

Ladder climb_norm(Index R, Index C) {
    const Tensor x = normal_tensor({R, C}, 4), weight = normal_tensor({C}, 5);
    Tensor expected({R, C});
    for (Index r = 0; r < R; ++r) rms_norm(&x(r, 0), weight.data(), 1e-5f, C, &expected(r, 0));
    Ladder ladder{"rms_norm",
                  "RMSNorm",
                  concat("x ", x.shape()),
                  (2 * R * C + C) * 4,
                  checksum_of(expected.flat()),
                  {}};
    const DeviceArray<float> in = on_device(x, "x"), scale = on_device(weight, "weight");
    for (const NormRung& rung : norm_rungs()) {
        const DeviceArray<float> out(R * C, "y");
        const View<const float> rows(in.get(), {R, C});
        const View<float> normed(out.get(), {R, C});
        ladder.runs.push_back(run_rung(
            rung,
            [&] {
                rung.run({rows, scale.get(), 1e-5f, normed});
            },
            [&] { return checksum_of(out.to_host()); }));
    }
    return ladder;
}

// T tokens behind `past` others.
Ladder climb_attention(const char* key, const char* what, Index T, Index past) {
    constexpr Index heads = 9, kv_heads = 3, D = 64;
    const Index S = past + T;
    const Tensor q = normal_tensor({T, heads, D}, 6), k = normal_tensor({kv_heads, S, D}, 7),
                 v = normal_tensor({kv_heads, S, D}, 8);
    Tensor expected({T, heads, D});
    for (Index t = 0; t < T; ++t)
        for (Index h = 0; h < heads; ++h) {
            const Index kv = h / (heads / kv_heads), sees = past + t + 1;
            attention_plain(q.view()[t][h], k.view()[kv].slice(0, 0, sees),
                            v.view()[kv].slice(0, 0, sees), expected.view()[t][h]);
        }
    Ladder ladder{key,
                  what,
                  concat("q ", q.shape(), ", ", S, " slots of ", kv_heads, " KV heads"),
                  2 * (kv_heads * S + T * heads) * D * 4,
                  checksum_of(expected.flat()),
                  {}};
    const DeviceArray<float> queries = on_device(q, "q"), keys = on_device(k, "keys"),
                             values = on_device(v, "values");
    for (const AttentionRung& rung : attention_rungs()) {
        if (!rung.accepts(T, heads / kv_heads)) continue;
        const DeviceArray<float> out(T * heads * D, "out");
        Scratch scratch;
        const View<const float> q_heads(queries.get(), {T, heads, D});
        const View<float> out_heads(out.get(), {T, heads, D});
        ladder.runs.push_back(run_rung(
            rung,
            [&] {
                rung.run(
                    {q_heads, keys.get(), values.get(), kv_heads, S, past, out_heads, scratch});
            },
            [&] { return checksum_of(out.to_host()); }));
    }
    return ladder;
}

Ladder climb_argmax(Index n) {
    const Tensor logits = normal_tensor({n}, 9);
    const auto text = [](Index index) { return hex64(static_cast<std::uint64_t>(index)); };
    Ladder ladder{"argmax", "argmax", concat(n, " logits"), n * 4, text(argmax(logits.flat())),
                  {}};
    const DeviceArray<float> values = on_device(logits, "logits");
    for (const ArgmaxRung& rung : argmax_rungs()) {
        Index best = -1;
        Scratch scratch;
        ladder.runs.push_back(run_rung(
            rung,
            [&] {
                best = rung.run({values.get(), n, 0, &scratch});
            },
            [&] { return text(best); }));
    }
    return ladder;
}

}  // namespace

std::vector<Ladder> run_ladders() {
    std::vector<Ladder> ladders;
    // Outputs. A part is enough to count; to measure, all of them have to be there.
    constexpr Index gate_up = 3072;
    const Index part = selected_device() == Device::gpu ? gate_up : 64;
    ladders.push_back(
        climb_linear("linear_1", "product of one row", 1, part, gate_up, TensorType::f32));
    ladders.push_back(climb_linear("linear_1_q4_1", "product of one row, 4-bit weights", 1,
                                   part, gate_up, TensorType::q4_1));
    ladders.push_back(
        climb_linear("linear_64", "product of 64 rows", 64, part, gate_up, TensorType::f32));
    ladders.push_back(climb_norm(4, 576));
    ladders.push_back(climb_attention("decode", "attention of one token", 1, 511));
    ladders.push_back(climb_attention("prefill", "attention of a prompt", 128, 0));
    ladders.push_back(climb_argmax(4096));
    return ladders;
}

}  // namespace kvlab::app
