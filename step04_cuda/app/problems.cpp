#include "problems.hpp"

#include <algorithm>
#include <memory>

#include <kvlab/attention/attention.hpp>
#include <kvlab/cuda/device.hpp>
#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/matmul.hpp>
#include <kvlab/tensor/numerics.hpp>
#include <kvlab/tensor/random.hpp>
#include <kvlab/tensor/simd_level.hpp>
#include <kvlab/weights/quantize.hpp>

namespace kvlab::app {

namespace {

constexpr Index kFloat = sizeof(float);

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

// Normal numbers; blocks of codes are any bytes, whose scales are small.
PackedMatrix random_weights(const LinearShape& s) {
    PackedMatrix packed(s.N, s.K, s.type);
    if (!is_quantized(s.type)) {
        const Tensor floats = normal_tensor({s.N, s.K}, 2);
        if (s.type == TensorType::f32) {
            packed.set_outputs(0, std::as_bytes(floats.flat()));
            return packed;
        }
        std::vector<std::byte> halves(usize(s.N * bytes_for(s.type, s.K)));
        quantize(s.type, floats.flat(), halves);
        packed.set_outputs(0, halves);
        return packed;
    }
    std::vector<std::byte> blocks(usize(s.N * bytes_for(s.type, s.K)));
    Rng rng(3);
    for (std::size_t i = 0; i < blocks.size(); ++i)
        blocks[i] =
            static_cast<std::byte>(i % usize(block_bytes(s.type)) < 4 ? 0x20 : rng.below(256));
    packed.set_outputs(0, blocks);
    return packed;
}

}  // namespace

std::string linear_name(const LinearShape& s) {
    return concat("R", s.R, " N", s.N, " K", s.K, " ", type_name(s.type));
}

Index linear_bytes(const LinearShape& s) {
    return s.N * bytes_for(s.type, s.K) + (s.R * s.K + s.R * s.N) * kFloat;
}

Problem linear_problem(const LinearShape& s) {
    const auto x = std::make_shared<Tensor>(normal_tensor({s.R, s.K}, 1));
    const auto packed = std::make_shared<PackedMatrix>(random_weights(s));
    // The kernels of chapter 1 have the plain loop's bits, and large products need them.
    Tensor expected({s.R, s.N});
    ThreadPool pool(machine_threads());
    matmul(tensor_kernels(default_simd_level()), pool, x->view(), *packed, expected.view());
    const auto each_rung = [=](const Visit& visit) {
        const DeviceArray<float> in = on_device(*x, "x");
        std::unique_ptr<DeviceMatrix> weights;  // of neighbours with one layout
        for (const LinearRung& rung : linear_rungs()) {
            if (s.type != TensorType::f32 && rung.layout == MatrixLayout::rows) continue;
            if (!weights || weights->layout() != rung.layout) {
                weights = nullptr;  // before the others take their place
                weights = std::make_unique<DeviceMatrix>(*packed, rung.layout);
            }
            const DeviceArray<float> out(s.R * s.N, "y");
            const View<const float> rows(in.get(), {s.R, s.K});
            const View<float> products(out.get(), {s.R, s.N});
            Scratch scratch;
            visit(
                rung,
                [&] {
                    rung.run({*weights, nullptr, rows, products, scratch});
                },
                [&] { return checksum_of(out.to_host()); });
        }
    };
    const Shape w{s.N, s.K};
    return {"linear",
            linear_name(s),
            concat("x ", x->shape(), ", w ", w, " ", type_name(s.type)),
            linear_bytes(s),
            s.R * s.N * s.K,
            checksum_of(expected.flat()),
            each_rung};
}

Problem norm_problem(Index R, Index C) {
    const auto x = std::make_shared<Tensor>(normal_tensor({R, C}, 4));
    const auto weight = std::make_shared<Tensor>(normal_tensor({C}, 5));
    Tensor expected({R, C});
    for (Index r = 0; r < R; ++r)
        rms_norm(&(*x)(r, 0), weight->data(), 1e-5f, C, &expected(r, 0));
    const auto each_rung = [=](const Visit& visit) {
        const DeviceArray<float> in = on_device(*x, "x"), scale = on_device(*weight, "weight");
        for (const NormRung& rung : norm_rungs()) {
            const DeviceArray<float> out(R * C, "y");
            const View<const float> rows(in.get(), {R, C});
            const View<float> normed(out.get(), {R, C});
            visit(
                rung,
                [&] {
                    rung.run({rows, scale.get(), 1e-5f, normed});
                },
                [&] { return checksum_of(out.to_host()); });
        }
    };
    return {"norm",
            concat("R", R, " C", C),
            concat("x ", x->shape()),
            (2 * R * C + C) * kFloat,
            R * C,
            checksum_of(expected.flat()),
            each_rung};
}

namespace {

struct AttentionData {
    Tensor q, k, v;

    explicit AttentionData(const AttentionShape& s)
        : q(normal_tensor({s.T, s.heads, s.D}, 6)),
          k(normal_tensor({s.kv_heads, s.past + s.T, s.D}, 7)),
          v(normal_tensor({s.kv_heads, s.past + s.T, s.D}, 8)) {}

    std::string checksum(const AttentionShape& s) const {
        Tensor expected({s.T, s.heads, s.D});
        for (Index t = 0; t < s.T; ++t)
            for (Index h = 0; h < s.heads; ++h) {
                const Index kv = h / (s.heads / s.kv_heads), sees = s.past + t + 1;
                attention_plain(q.view()[t][h], k.view()[kv].slice(0, 0, sees),
                                v.view()[kv].slice(0, 0, sees), expected.view()[t][h]);
            }
        return checksum_of(expected.flat());
    }
};

void each_attention_rung(const AttentionShape& s,
                         const AttentionData& data,
                         const Visit& visit) {
    const DeviceArray<float> queries = on_device(data.q, "q"), keys = on_device(data.k, "keys"),
                             values = on_device(data.v, "values");
    for (const AttentionRung& rung : attention_rungs()) {
        if (!rung.accepts(s.T, s.heads / s.kv_heads)) continue;
        const DeviceArray<float> out(s.T * s.heads * s.D, "out");
        Scratch scratch;
        const View<const float> q_heads(queries.get(), {s.T, s.heads, s.D});
        const View<float> out_heads(out.get(), {s.T, s.heads, s.D});
        visit(
            rung,
            [&] {
                rung.run({q_heads, keys.get(), values.get(), s.kv_heads, s.past + s.T, s.past,
                          out_heads, scratch});
            },
            [&] { return checksum_of(out.to_host()); });
    }
}

}  // namespace

Problem attention_problem(const AttentionShape& s) {
    const auto data = std::make_shared<AttentionData>(s);
    const Index slots = s.past + s.T;
    const bool smollm2 = s.heads == 9 && s.kv_heads == 3 && s.D == 64;
    // A score and a share of the values for each slot that a query sees.
    const Index pairs = s.heads * (s.T * s.past + s.T * (s.T + 1) / 2);
    return {"attention",
            concat("T", s.T, " slots", slots,
                   smollm2 ? "" : concat(" heads", s.heads, "/", s.kv_heads, "x", s.D)),
            concat("q ", data->q.shape(), ", ", slots, " slots of ", s.kv_heads, " KV heads"),
            2 * (s.kv_heads * slots + s.T * s.heads) * s.D * kFloat,
            2 * pairs * s.D,
            data->checksum(s),
            [=](const Visit& visit) { each_attention_rung(s, *data, visit); }};
}

Problem argmax_problem(Index n) {
    const auto logits = std::make_shared<Tensor>(normal_tensor({n}, 9));
    const auto text = [](Index index) { return hex64(static_cast<std::uint64_t>(index)); };
    const auto each_rung = [=](const Visit& visit) {
        const DeviceArray<float> values = on_device(*logits, "logits");
        for (const ArgmaxRung& rung : argmax_rungs()) {
            // Not run(), which waits for the answer.
            const DeviceArray<int> best(argmax_ints(), "best");
            visit(
                rung,
                [&] {
                    rung.launch(values.get(), static_cast<int>(n), best.get(),
                                rung.threads(0, "argmax"));
                },
                [&] { return text(best.to_host()[0]); });
        }
    };
    return {"argmax",
            concat("V", n),
            concat(n, " logits"),
            n * kFloat,
            0,
            text(argmax(logits->flat())),
            each_rung};
}

}  // namespace kvlab::app
