#include <kvlab/kvcache/loose_engine.hpp>

#include <algorithm>
#include <vector>

#include <kvlab/attention/wrapped_engine.hpp>
#include <kvlab/tensor/half.hpp>
#include <kvlab/tensor/numerics.hpp>
#include <kvlab/tensor/tensor_type.hpp>

namespace kvlab {

const char* switch_name(Switch which) {
    static constexpr const char* kNames[] = {"none", "order", "contraction", "f16", "split"};
    return kNames[static_cast<std::size_t>(which)];
}

Switch parse_switch(const std::string& name) {
    for (const Switch which : kSwitches)
        if (name == switch_name(which)) return which;
    throw Error(concat("switch ", name, ": none, order, contraction, f16 or split"));
}

namespace {

// The engine's own matrix, and a plain copy for the loop below.
class LooseMatrix final : public Matrix {
public:
    explicit LooseMatrix(std::unique_ptr<Matrix> matrix) : exact(std::move(matrix)) {}

    Index outputs() const override { return exact->outputs(); }

    Index depth() const override { return exact->depth(); }

    Index bytes() const override { return exact->bytes(); }

    std::unique_ptr<Matrix> exact;
    Tensor plain;  // [K, N]: neighbours in memory are different outputs
};

const LooseMatrix& loose(const Matrix& matrix) {
    const auto* found = dynamic_cast<const LooseMatrix*>(&matrix);
    check(found != nullptr, "loose engine: this matrix belongs to another engine");
    return *found;
}

class LooseEngine final : public WrappedEngine {
public:
    LooseEngine(std::unique_ptr<Engine> engine, Switch which)
        : WrappedEngine(std::move(engine)), which_(which) {}

    std::string name() const override {
        return concat(WrappedEngine::name(), ", loose: ", switch_name(which_));
    }

    std::unique_ptr<Matrix> load_matrix(std::span<const TensorInfo* const> parts) override;

    void gather(const Matrix& table,
                std::span<const Token> tokens,
                const View<float>& x) override {
        inner().gather(*loose(table).exact, tokens, x);
    }

    void linear(const Matrix& w,
                const float* bias,
                const View<const float>& x,
                const View<float>& y) override;

private:
    void in_pieces(const LooseMatrix& w,
                   const View<const float>& x,
                   const View<float>& y,
                   Index pieces);

    Switch which_;
};

std::unique_ptr<Matrix> LooseEngine::load_matrix(std::span<const TensorInfo* const> parts) {
    auto matrix = std::make_unique<LooseMatrix>(inner().load_matrix(parts));
    if (which_ != Switch::contraction) return matrix;
    const Index K = matrix->depth(), N = matrix->outputs();
    matrix->plain = Tensor({K, N});
    std::vector<float> row(usize(K));
    Index n = 0;
    for (const TensorInfo* part : parts) {
        const auto row_bytes = usize(bytes_for(part->type, K));
        for (Index i = 0; i < part->shape[0]; ++i, ++n) {
            dequantize(part->type, part->bytes.subspan(usize(i) * row_bytes, row_bytes), row);
            for (Index k = 0; k < K; ++k) matrix->plain(k, n) = at(row, k);
        }
    }
    return matrix;
}

// ANCHOR: contraction
// The contract's blocks in the contract's order, but with a product that is rounded before it
// is added: what a compiler makes of the same line without fma.
void multiply_without_fma(const Tensor& w, const View<const float>& x, const View<float>& y) {
    const Index K = w.dim(0), N = w.dim(1);
    std::vector<float> block(usize(N));
    for (Index r = 0; r < x.dim(0); ++r)
        for (Index begin = 0; begin < K; begin += kSumBlock) {
            const Index end = std::min(begin + kSumBlock, K);
            std::fill(block.begin(), block.end(), 0.0f);
            for (Index k = begin; k < end; ++k) {
                const float xk = x(r, k);
                const float* row = w.data() + k * N;
                for (Index n = 0; n < N; ++n) {
                    const float product = xk * row[n];
                    at(block, n) += product;
                }
            }
            float* out = &y(r, 0);
            for (Index n = 0; n < N; ++n) {
                const float sum = at(block, n);
                out[n] = begin == 0 ? sum : out[n] + sum;
            }
        }
}

// ANCHOR_END: contraction

// ANCHOR: pieces
// The depth in pieces, each a product by the contract: x with zeros everywhere else, which add
// nothing. Two pieces are another order of the same sum ("split-K"); with F16 the sum so far is
// rounded each time, as it is in an accumulator of 16 bits.
void LooseEngine::in_pieces(const LooseMatrix& w,
                            const View<const float>& x,
                            const View<float>& y,
                            Index pieces) {
    const Index R = x.dim(0), K = x.dim(1), N = y.dim(1);
    Tensor masked({R, K}), part({R, N});
    for (Index piece = 0; piece < pieces; ++piece) {
        const Index begin = K * piece / pieces, end = K * (piece + 1) / pieces;
        std::fill(masked.flat().begin(), masked.flat().end(), 0.0f);
        for (Index r = 0; r < R; ++r)
            for (Index k = begin; k < end; ++k) masked(r, k) = x(r, k);
        inner().linear(*w.exact, nullptr, masked.view(), part.view());
        for (Index r = 0; r < R; ++r)
            for (Index n = 0; n < N; ++n) {
                const float sum = piece == 0 ? part(r, n) : y(r, n) + part(r, n);
                y(r, n) = which_ == Switch::f16 ? f16_to_f32(f32_to_f16(sum)) : sum;
            }
    }
}

// ANCHOR_END: pieces

void LooseEngine::linear(const Matrix& w,
                         const float* bias,
                         const View<const float>& x,
                         const View<float>& y) {
    const LooseMatrix& matrix = loose(w);
    const bool exact = x.dim(0) == 1 || which_ == Switch::none || which_ == Switch::split;
    if (exact) return inner().linear(*matrix.exact, bias, x, y);
    if (which_ == Switch::contraction)
        multiply_without_fma(matrix.plain, x, y);
    else
        in_pieces(matrix, x, y, which_ == Switch::order ? 2 : 4);
    if (bias == nullptr) return;
    for (Index r = 0; r < y.dim(0); ++r)
        for (Index n = 0; n < y.dim(1); ++n) y(r, n) += bias[n];
}

}  // namespace

std::unique_ptr<Engine> make_loose_engine(std::unique_ptr<Engine> engine, Switch which) {
    return std::make_unique<LooseEngine>(std::move(engine), which);
}

}  // namespace kvlab
