#include <kvlab/tensor/numerics.hpp>

#include <algorithm>

namespace kvlab {

// ANCHOR: softmax
float softmax_weights(std::span<const float> scores, std::span<float> weights) {
    check(scores.size() == weights.size() && !scores.empty(), "softmax: ", scores.size(),
          " scores, room for ", weights.size(), " weights");
    // SOLUTION-BEGIN 1.3
    float M = exp2_parts(scores[0]).n;
    for (float s : scores) {
        const float n = exp2_parts(s).n;
        M = n > M ? n : M;
    }
    for (std::size_t i = 0; i < scores.size(); ++i) {
        const Exp2Parts parts = exp2_parts(scores[i]);
        weights[i] = parts.p * pow2(parts.n - M);
    }
    return sum(weights.data(), std::ssize(weights));
    // SOLUTION-END 1.3
}

// ANCHOR_END: softmax

// ANCHOR: rms_norm
void rms_norm(const float* x, const float* weight, float eps, Index n, float* y) {
    const float mean = dot(x, x, n) / static_cast<float>(n);
    const float r = 1.0f / std::sqrt(mean + eps);
    for (Index i = 0; i < n; ++i) y[i] = (x[i] * r) * weight[i];
}

// ANCHOR_END: rms_norm

void layer_norm(
    const float* x, const float* weight, const float* bias, float eps, Index n, float* y) {
    // SOLUTION-BEGIN 1.4
    const float mean = sum(x, n) / static_cast<float>(n);
    float squares = 0.0f;
    for (Index begin = 0; begin < n; begin += kSumBlock) {
        const Index end = begin + kSumBlock < n ? begin + kSumBlock : n;
        float block = 0.0f;
        for (Index i = begin; i < end; ++i) block = std::fma(x[i] - mean, x[i] - mean, block);
        squares = begin == 0 ? block : squares + block;
    }
    const float r = 1.0f / std::sqrt(squares / static_cast<float>(n) + eps);
    for (Index i = 0; i < n; ++i) y[i] = std::fma((x[i] - mean) * r, weight[i], bias[i]);
    // SOLUTION-END 1.4
}

// ANCHOR: matmul_plain
void matmul_plain(const View<const float>& x,
                  const View<const float>& w,
                  const View<float>& y) {
    const Index T = x.dim(0), K = x.dim(1), N = w.dim(0);
    check_shape(w, {N, K}, "matmul: w");
    check_shape(y, {T, N}, "matmul: y");
    for (Index t = 0; t < T; ++t)
        for (Index n = 0; n < N; ++n)
            y(t, n) = dot(&x(t, 0), x.stride(1), &w(n, 0), w.stride(1), K);
}

// ANCHOR_END: matmul_plain

Index argmax(std::span<const float> values) {
    check(!values.empty(), "argmax: no values");
    constexpr std::size_t kBlock = 64;
    std::size_t best = 0;
    for (std::size_t begin = 0; begin < values.size(); begin += kBlock) {
        // Most blocks hold nothing larger, which many values at a time can be asked.
        const std::span block = values.subspan(begin, std::min(kBlock, values.size() - begin));
        const float largest = values[best];
        std::uint32_t any = 0;
        for (const float value : block) any |= static_cast<std::uint32_t>(value > largest);
        if (any == 0) continue;
        for (std::size_t i = begin; i < begin + block.size(); ++i)
            if (values[i] > values[best]) best = i;
    }
    return static_cast<Index>(best);
}

bool all_finite(std::span<const float> values) {
    std::uint32_t bad = 0;  // no early return: many values at a time
    for (const float value : values) bad |= static_cast<std::uint32_t>(!is_finite(value));
    return bad == 0;
}

}  // namespace kvlab
