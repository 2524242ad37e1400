// kernel_problems.hpp - a product and an attention step with the plain loop's answer, for the
// tests of kernels and for what weaker checks see of wrong ones (mutants/kernel_oracles.cpp).
#pragma once

#include <memory>

#include <kvlab/attention/attention.hpp>
#include <kvlab/cuda/ladders.hpp>
#include <kvlab/tensor/checksum.hpp>
#include <kvlab/tensor/numerics.hpp>

#include "device_support.hpp"
#include "random_blocks.hpp"
#include "random_data.hpp"

namespace kvlab::test {

inline bool is_equal(const std::vector<float>& found, std::span<const float> expected) {
    return compare_bits(found, expected).differ == 0;
}

// y = x w^T, and the same by chapter 1's plain loop.
struct LinearProblem {
    // Random weights of any format.
    LinearProblem(TensorType type, Index R, Index K, Index N, std::uint64_t seed)
        : packed(N, K, type), x(random_tensor({R, K}, seed + 1)), expected({R, N}) {
        Rng rng(seed);
        const std::vector<std::byte> bytes = random_rows(type, N, K, rng);
        packed.set_outputs(0, bytes);
        matmul_plain(x.view(), dequantized(type, bytes, N, K).view(), expected.view());
    }

    // These numbers: x [R, K], w [N, K].
    LinearProblem(const Tensor& inputs, const Tensor& w)
        : packed(PackedMatrix::pack(w.view())),
          x(inputs.clone()),
          expected({inputs.dim(0), w.dim(0)}) {
        matmul_plain(x.view(), w.view(), expected.view());
    }

    // Whether the rung's answer is the same; with a bias if there is one.
    bool holds(const LinearRung& rung, int block, const std::vector<float>& bias = {}) const {
        const Index R = x.dim(0), K = x.dim(1), N = expected.dim(1);
        const DeviceMatrix w(packed, rung.layout);
        const DeviceRows in(R, K, x.flat()), out(R, N);
        std::unique_ptr<DeviceArray<float>> on_device;
        if (!bias.empty())
            on_device =
                std::make_unique<DeviceArray<float>>(std::span<const float>(bias), "bias");
        Scratch scratch;
        rung.run(
            {w, on_device ? on_device->get() : nullptr, in.view(), out.view(), scratch, block});
        Tensor sum = expected.clone();
        if (!bias.empty())
            for (Index r = 0; r < R; ++r)
                for (Index n = 0; n < N; ++n) sum(r, n) = sum(r, n) + at(bias, n);
        return out.untouched() && is_equal(out.values(), sum.flat());
    }

    PackedMatrix packed;
    Tensor x, expected;
};

// A product whose every sum is -0: each term is so small and negative that it rounds to -0. A
// total that begins at +0 and adds its first block loses the sign (rule 2).
inline LinearProblem negative_zeros(Index K) {
    Tensor x({1, K}), w({64, K});
    for (float& value : x.flat()) value = -0x1p-100f;
    for (float& value : w.flat()) value = 0x1p-100f;
    return {x, w};
}

struct AttentionShape {
    Index T, heads, kv_heads, D, past;
};

// Queries, keys and values of one step, and the answer of chapter 2's plain loop.
struct AttentionProblem {
    explicit AttentionProblem(const AttentionShape& s, float sharpness = 1.0f)
        : shape(s),
          capacity(s.past + s.T + 7),
          q(random_tensor({s.T, s.heads, s.D}, 1, sharpness)),
          keys(random_tensor({s.kv_heads, capacity, s.D}, 2)),
          values(random_tensor({s.kv_heads, capacity, s.D}, 3)),
          expected({s.T, s.heads, s.D}) {
        answer();
    }

    // Again, for whoever puts other numbers in their place.
    void answer() {
        const AttentionShape& s = shape;
        for (Index t = 0; t < s.T; ++t)
            for (Index h = 0; h < s.heads; ++h) {
                const Index kv = h / (s.heads / s.kv_heads), sees = s.past + t + 1;
                attention_plain(q.view()[t][h], keys.view()[kv].slice(0, 0, sees),
                                values.view()[kv].slice(0, 0, sees), expected.view()[t][h]);
            }
    }

    // Slots that nobody may look at stay unwritten: a checked kernel that does is reported, a
    // raw one gets NaN.
    DeviceArray<float>* upload(const Tensor& from, const char* name) const {
        auto* array = new DeviceArray<float>(from.size(), name);
        const Index seen = (shape.past + shape.T) * shape.D, all = capacity * shape.D;
        for (Index h = 0; h < shape.kv_heads; ++h)
            copy_bytes_to_device(array->get() + h * all, from.data() + h * all,
                                 seen * Index{sizeof(float)});
        return array;
    }

    // `gap`: floats between one token's heads and the next one's.
    bool holds(const AttentionRung& rung, int block, Index gap = 5) const {
        const std::unique_ptr<DeviceArray<float>> k(upload(keys, "keys")),
            v(upload(values, "values"));
        const Index width = shape.heads * shape.D;
        const DeviceRows in(shape.T, width, q.flat(), gap), out(shape.T, width, gap);
        Scratch scratch;
        rung.run({in.heads(shape.heads), k->get(), v->get(), shape.kv_heads, capacity,
                  shape.past, out.heads(shape.heads), scratch, block});
        return out.untouched() && is_equal(out.values(), expected.flat());
    }

    AttentionShape shape;
    Index capacity;
    Tensor q, keys, values, expected;
};

}  // namespace kvlab::test
